"""Poisson regression of counts on the pooled table by Newton's method (Nelder and Wedderburn 1972).

With the logarithmic link, mu = exp(X b + log exposure), gradient X'(y - mu) and information X' diag(mu) X
are sums over sites, so the coefficients are those of the pooled rows.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.regression.glm import GlmSettings, curvature, design, fit, glm_keys
from hanse.algorithms.table import ColumnName, Floats, Table
from hanse.core.values.groups import Group
from hanse.errors import TaskError
from hanse.workflow.federation import Federation

NAME = "poisson_regression"
TASK = "poisson_curvature"


_LARGEST_PREDICTOR = 300.0
"""No count is that large: a step that leads there is halved, and until then the sums stay finite."""


class PoissonSettings(GlmSettings):
    """Settings of Poisson regression."""

    outcome: ColumnName = Field(description="The column of counts: whole numbers from 0.")
    exposure: ColumnName | None = Field(
        None, description="A column of numbers above 0 that expected counts are proportional to."
    )


def poisson(predictor: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Log-likelihood, mean and variance of each row; see `Family`."""
    mean = np.exp(np.minimum(predictor, _LARGEST_PREDICTOR))
    factorials = np.array([math.lgamma(count + 1) for count in y])
    return y * predictor - mean - factorials, mean, mean


def local(
    table: Table, settings: PoissonSettings, beta: Floats, centre: Floats
) -> tuple[int, dict[str, Group]]:
    """The number of rows of one site, and their group `curvature` at coefficients; see `curvature`.

    Args:
        table: The rows.
        settings: The plan's.
        beta: Coefficients of inputs around the centre, with the intercept, shape (inputs + intercept,).
        centre: What is subtracted from the inputs, shape (inputs,).

    Raises:
        TaskError: The outcome is not of counts, or an exposure is not above 0.
    """
    exposure = [settings.exposure] if settings.exposure else []
    rows = table.complete(settings.columns(settings.outcome, *exposure), settings.missing)
    y = rows.numbers([settings.outcome])[:, 0]
    if (y < 0).any() or (y != np.floor(y)).any():
        raise TaskError(f"the column {settings.outcome!r} is not of counts: whole numbers from 0")
    at_risk = rows.numbers(exposure)[:, 0] if exposure else np.ones(len(y))
    if (at_risk <= 0).any():
        raise TaskError(f"the column {settings.exposure!r} has a number that is not above 0")
    x = design(rows.inputs(settings.features), settings, centre)
    return len(rows), {"curvature": curvature(x, y, np.log(at_risk), beta, poisson)}


def poisson_regression(federation: Federation) -> None:
    """Poisson regression on the pooled table, one step of Newton's method a round."""
    fit(federation, PoissonSettings.of(federation.options, NAME), NAME, TASK)


def _keys(settings: PoissonSettings) -> Keys:
    return glm_keys(NAME, TASK, settings)


POISSON_REGRESSION = Algorithm(
    name=NAME,
    field="regression",
    paper="Nelder and Wedderburn 1972, doi 10.2307/2344614",
    travels="The coefficients and means of the inputs to the sites; log-likelihood, gradient and "
    "information at these, over all sites.",
    sums_suffice=True,
    stays="The rows, and what the model predicts for each.",
    settings=PoissonSettings,
    keys=_keys,
    results="`poisson_regression`, `poisson_regression_fit`, as of `logistic_regression`",
)
