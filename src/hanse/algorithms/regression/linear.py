"""Linear and ridge regression on the pooled table, in one exchange.

Least squares from the sums X'X, X'y and y'y over the sites (Gauss's normal equations; ridge: Hoerl and
Kennard 1970, equation 2.1). With an intercept the sums are taken around the pooled means before they are
solved, and each input is scaled, so that no digits are lost to inputs of other units. Ridge adds `ridge`
times the squared coefficients, but not the intercept's, to the sum of squares, as scikit-learn's `Ridge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, arrays, own_keys, split
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


def local(table: Table, settings: LinearSettings) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Returns:
        The number of rows, and the group `gram`: `count`, shape (); `x`, (inputs,); `y`, (); `xx`, (inputs,
        inputs); `xy`, (inputs,); `yy`, (). The intercept is not among the inputs.
    """
    rows = table.complete(settings.columns(settings.outcome), settings.missing)
    x, y = rows.inputs(settings.features), rows.numbers([settings.outcome])[:, 0]
    gram = {
        "count": np.array(len(rows), np.int64),
        "x": x.sum(axis=0),
        "y": np.array(y.sum()),
        "xx": x.T @ x,
        "xy": x.T @ y,
        "yy": np.array(y @ y),
    }
    return len(rows), {"gram": gram}


def solve(gram: Mapping[str, Any], settings: LinearSettings) -> dict[str, Array]:
    """The model, from sums over all sites.

    Returns:
        `coefficients`, shape (inputs,), the intercept first where there is one; `residual_variance`,
        `r_squared`, (); without ridge also `covariance` of the coefficients, (inputs, inputs), and
        `standard_errors`, (inputs,).

    Raises:
        WorkflowError: There are not more rows than coefficients, or inputs are linear combinations of others.
    """
    n = float(gram["count"])
    mean_x, mean_y = np.zeros(len(gram["x"])), 0.0
    if settings.intercept:
        mean_x, mean_y = gram["x"] / max(n, 1), float(gram["y"]) / max(n, 1)
    size = len(mean_x) + settings.intercept
    if n <= size:
        raise WorkflowError(f"there are {n:.0f} rows, too few for {size} coefficients")
    xx = gram["xx"] - n * np.outer(mean_x, mean_x)
    xy = gram["xy"] - n * mean_x * mean_y
    yy = float(gram["yy"]) - n * mean_y**2
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
    """Linear or ridge regression on the pooled table, in one exchange."""
    settings = LinearSettings.of(federation.options, NAME)
    for round in federation.rounds():
        gram = arrays(round.sum(TASK), "gram")
        found = solve(gram, settings)
        fit = ("covariance", "residual_variance", "r_squared")
        round.commit(results=split(NAME, found, fit=fit))


def _keys(settings: LinearSettings) -> Keys:
    p = settings.inputs
    gram = {"count": {"int64": []}, "x": {"float64": [p]}, "y": {"float64": []}}
    gram |= {"xx": {"float64": [p, p]}, "xy": {"float64": [p]}, "yy": {"float64": []}}
    return own_keys(NAME, settings, [OwnTask(TASK, {"gram": gram})])


LINEAR_REGRESSION = Algorithm(
    name=NAME,
    field="regression",
    paper="Hoerl and Kennard 1970, doi 10.1080/00401706.1970.10488634",
    travels="Number of rows, sums and sums of products of inputs and outcome, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=LinearSettings,
    keys=_keys,
    results="`linear_regression`: `coefficients`, `standard_errors`; `linear_regression_fit`: "
    "`covariance`, `residual_variance`, `r_squared`",
)
