"""Logistic regression on the pooled table by Newton's method (Wu et al. 2012, "GLORE").

Wu, Jiang, Kim and Ohno-Machado 2012, J. Am. Med. Inform. Assoc. 19(5), 758-764: the gradient X'(y - mu) and
the information X' diag(mu (1 - mu)) X at the coefficients are sums over sites (equations 2 to 4), so the
coefficients are those of the pooled rows.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, field_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.regression.glm import GlmSettings, curvature, design, fit, glm_keys
from hanse.algorithms.regression.newton import Curvature
from hanse.algorithms.table import Categories, Floats, Table
from hanse.core.values.groups import Group
from hanse.workflow.federation import Federation

NAME = "logistic_regression"
TASK = "logistic_curvature"


class LogisticSettings(GlmSettings):
    """Settings of logistic regression."""

    outcome: Categories = Field(
        description="The column with the two classes; the chance of the second is modelled."
    )

    @field_validator("outcome")
    @classmethod
    def _of_two(cls, value: Categories) -> Categories:
        if len(value.categories) != 2:
            raise ValueError("logistic regression has an outcome of two categories")
        return value


def bernoulli(predictor: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Log-likelihood, mean and variance of each row; see `Family`."""
    mean = (1 + np.tanh(predictor / 2)) / 2  # the logistic function, written so that it cannot overflow
    return y * predictor - np.logaddexp(0, predictor), mean, mean * (1 - mean)


def local(
    table: Table, settings: LogisticSettings, beta: Floats, centre: Floats
) -> tuple[int, dict[str, Group]]:
    """The number of rows of one site, and their group `curvature` at coefficients; see `curvature`.

    Args:
        table: The rows.
        settings: The plan's.
        beta: Coefficients of inputs around the centre, with the intercept, shape (inputs + intercept,).
        centre: What is subtracted from the inputs, shape (inputs,).
    """
    rows = table.complete(settings.columns(settings.outcome), settings.missing)
    y = rows.codes(settings.outcome).astype(np.float64)
    x = design(rows.inputs(settings.features), settings, centre)
    return len(rows), {"curvature": curvature(x, y, np.zeros(len(y)), beta, bernoulli)}


def logistic_regression(federation: Federation) -> None:
    """Logistic regression on the pooled table, one step of Newton's method a round."""
    fit(federation, LogisticSettings.of(federation.options, NAME), NAME, TASK, separated)


def separated(sums: Curvature) -> bool:
    """Check that each row's own class has a chance above 1/2: then no coefficients are the best.

    No row's log-likelihood is above 0, so that each is above their sum, and log 1/2.
    """
    return float(sums["log_likelihood"]) > -math.log(2)


def _keys(settings: LogisticSettings) -> Keys:
    return glm_keys(NAME, TASK, settings)


LOGISTIC_REGRESSION = Algorithm(
    name=NAME,
    field="regression",
    paper="Wu et al. 2012, doi 10.1136/amiajnl-2012-000862",
    travels="The coefficients and means of the inputs to the sites; log-likelihood, gradient and "
    "information at these, over all sites.",
    sums_suffice=True,
    stays="The rows, and what the model predicts for each.",
    settings=LogisticSettings,
    keys=_keys,
    results="`logistic_regression`: `coefficients`, `standard_errors`, `z`, `p_values`; "
    "`logistic_regression_fit`: `covariance`, `log_likelihood`, `converged`, `rounds`",
)
