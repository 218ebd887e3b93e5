"""Linear and ridge regression on the pooled table, in one round.

Least squares from the sums X'X, X'y and y'y over the sites (Gauss's normal equations; ridge: Hoerl and
Kennard 1970, equation 2.1). With an intercept the sums are taken around the pooled means, which a
first exchange gives, and each input is scaled, so that no digits are lost to large means and other units.
Ridge adds `ridge` times the squared coefficients, but not the intercept's, to the sum of squares, as
scikit-learn's `Ridge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys, split
from hanse.algorithms.pooled_rows import CENTRE, around_means, mean, sample, summed, without_rounding
from hanse.algorithms.regression.inputs import RegressionSettings, scaled_inverse
from hanse.algorithms.table import ColumnName, Floats, Table
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "linear_regression"
TASK = "gram"


class LinearSettings(RegressionSettings):
    """Settings of linear and ridge regression."""

    outcome: ColumnName = Field(description="The column of numbers that is predicted.")
    ridge: float = Field(0.0, ge=0, description="Weight of the squared coefficients; 0: least squares.")


def local(table: Table, settings: LinearSettings, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Args:
        table: The rows.
        settings: The plan's.
        centre: What is subtracted from the inputs and, last, from the outcome, shape (inputs + 1,).

    Returns:
        The number of rows, and the group `gram`: `count`, shape (); `x`, (inputs,); `y`, (); `xx`, (inputs,
        inputs); `xy`, (inputs,); `yy`, (). The intercept is not among the inputs.
    """
    rows = table.complete(settings.columns(settings.outcome), settings.missing)
    x = rows.inputs(settings.features) - centre[:-1]
    y = rows.numbers([settings.outcome])[:, 0] - centre[-1]
    gram = {
        "count": np.array(len(rows), np.int64),
        "x": x.sum(axis=0),
        "y": np.array(y.sum()),
        "xx": x.T @ x,
        "xy": x.T @ y,
        "yy": np.array(y @ y),
    }
    return len(rows), {"gram": gram}


def first_centre(settings: LinearSettings) -> Floats:
    """Numbers that the first sums are around, shape (inputs + 1,)."""
    return np.zeros(settings.inputs + 1)


def means(groups: Mapping[str, Any], centre: Floats) -> Floats:
    """Means of inputs and outcome, shape (inputs + 1,), from sums around a centre."""
    gram = groups["gram"]
    return mean(np.append(gram["x"], gram["y"]), gram["count"], centre)


def solve(groups: Mapping[str, Any], settings: LinearSettings, centre: Floats) -> dict[str, Array]:
    """The model, from sums over all sites around a centre; without an intercept, around 0.

    Returns:
        `coefficients`, shape (inputs,), the intercept first where there is one; `residual_variance`,
        `r_squared`, (); without ridge also `covariance` of the coefficients, (inputs, inputs), and
        `standard_errors`, (inputs,).

    Raises:
        WorkflowError: There are not more rows than coefficients, or inputs are linear combinations of others.
    """
    gram = groups["gram"]
    n = float(gram["count"])
    size = len(gram["x"]) + settings.intercept
    if n <= size:
        raise WorkflowError(f"there are {n:.0f} rows, too few for {size} coefficients")
    away_x, away_y = np.zeros(len(gram["x"])), 0.0
    if settings.intercept:
        away_x, away_y = gram["x"] / n, float(gram["y"]) / n
    mean_x, mean_y = centre[:-1] + away_x, float(centre[-1]) + away_y
    xx = gram["xx"] - n * np.outer(away_x, away_x)
    np.fill_diagonal(xx, n * without_rounding(np.diagonal(xx) / n, mean_x if settings.intercept else away_x))
    xy = gram["xy"] - n * away_x * away_y
    yy = float(gram["yy"]) - n * away_y**2
    inverse = scaled_inverse(xx + settings.ridge * np.eye(len(xx)), settings.features)
    slopes = inverse @ xy
    residual = max(yy - 2 * float(slopes @ xy) + float(slopes @ xx @ slopes), 0.0)
    coefficients = slopes
    if settings.intercept:
        coefficients = np.concatenate([[mean_y - mean_x @ slopes], slopes])
    variance = residual / (n - size)
    results: dict[str, Array] = {
        "coefficients": coefficients,
        "residual_variance": np.array(variance),
        "r_squared": np.array(1 - residual / yy if yy else np.nan),
    }
    if not settings.ridge:
        covariance = (
            variance * _with_intercept(inverse, mean_x, n) if settings.intercept else variance * inverse
        )
        results |= {"covariance": covariance, "standard_errors": np.sqrt(np.diagonal(covariance))}
    return results


def _with_intercept(inverse: Floats, mean: Floats, n: float) -> Floats:
    """The inverse of X'X with a first column of ones, from that of the centred inputs."""
    cross = -(inverse @ mean)
    corner = 1 / n - mean @ cross
    return np.block([[np.array([[corner]]), cross[np.newaxis]], [cross[:, np.newaxis], inverse]])


def linear_regression(federation: Federation) -> None:
    """Linear or ridge regression on the pooled table, in two exchanges; in one without an intercept."""
    settings = LinearSettings.of(federation.options, NAME)
    for round in federation.rounds():
        centre = first_centre(settings)
        if settings.intercept:
            sums, centre = around_means(round, TASK, centre, means)
        else:
            sums = summed(round, TASK, groups={CENTRE: centre})
        found = solve(sums.groups, settings, centre)
        fit = ("covariance", "residual_variance", "r_squared")
        round.commit(results={**split(NAME, found, fit=fit), f"{NAME}_sample": sample(sums)})


def _keys(settings: LinearSettings) -> Keys:
    p = settings.inputs
    gram = {"count": {"int64": []}, "x": {"float64": [p]}, "y": {"float64": []}}
    gram |= {"xx": {"float64": [p, p]}, "xy": {"float64": [p]}, "yy": {"float64": []}}
    sent, exchanges = {CENTRE: {"float64": [p + 1]}}, 1 + settings.intercept
    return own_keys(NAME, settings, [OwnTask(TASK, {"gram": gram}, sent=sent, exchanges=exchanges)])


LINEAR_REGRESSION = Algorithm(
    name=NAME,
    field="regression",
    paper="Hoerl and Kennard 1970, doi 10.1080/00401706.1970.10488634",
    travels="Means to the sites; number of rows, sums and sums of products of inputs and outcome, over all "
    "sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=LinearSettings,
    keys=_keys,
    results="`linear_regression`: `coefficients`, `standard_errors`; `linear_regression_fit`: "
    "`covariance`, `residual_variance`, `r_squared`",
)
