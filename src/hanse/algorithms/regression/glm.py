"""Generalised linear models with the canonical link: what logistic and Poisson regression share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Keys
from hanse.algorithms.own_task import OwnTask, own_keys
from hanse.algorithms.pooled_rows import CENTRE
from hanse.algorithms.regression.inputs import RegressionSettings, with_ones
from hanse.algorithms.regression.newton import Curvature, Likelihood, maximise
from hanse.algorithms.table import Floats
from hanse.core.values.parameters import Array
from hanse.workflow.federation import Federation

Family = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]
"""Log-likelihood, mean and variance of each row, from its linear predictor and its outcome."""


class GlmSettings(RegressionSettings):
    """Settings of a regression by Newton's method."""

    ridge: float = Field(0.0, ge=0, description="Weight of half the squared coefficients; 0: none.")
    rounds: int = Field(25, ge=1, le=1_000, description="Most steps of Newton's method.")


def curvature(x: Floats, y: Floats, offset: Floats, beta: Floats, family: Family) -> dict[str, Array]:
    """The group `curvature` of one site.

    Args:
        x: Inputs, shape (rows, inputs), with the intercept.
        y: Outcome, shape (rows,).
        offset: Added to the linear predictor, shape (rows,).
        beta: Coefficients, shape (inputs,).
        family: The distribution.

    Returns:
        `log_likelihood`, shape (); `gradient` X'(y - mean), (inputs,); `information` X' diag(variance) X.
    """
    likelihood, mean, variance = family(x @ beta + offset, y)
    return {
        "log_likelihood": np.array(likelihood.sum()),
        "gradient": x.T @ (y - mean),
        "information": x.T @ (x * variance[:, np.newaxis]),
    }


def penalised(sums: Curvature, beta: Floats, settings: GlmSettings) -> Curvature:
    """The curvature with the penalty `ridge` |beta|^2 / 2, of all coefficients but the intercept."""
    weights = np.full(len(beta), settings.ridge)
    if settings.intercept:
        weights[0] = 0
    return {
        "log_likelihood": sums["log_likelihood"] - (weights * beta**2).sum() / 2,
        "gradient": sums["gradient"] - weights * beta,
        "information": sums["information"] + np.diag(weights),
    }


def fit(
    federation: Federation,
    settings: GlmSettings,
    name: str,
    task: str,
    separates: Callable[[Curvature], bool] = lambda _: False,
) -> None:
    """Fit a generalised linear model on the pooled table, one step of Newton's method a round."""
    likelihood = Likelihood(
        task,
        "curvature",
        name,
        settings.features,
        settings.intercept,
        lambda sums, beta: penalised(sums, beta, settings),
        means if settings.intercept else None,
        separates=lambda sums: not settings.ridge and separates(sums),
    )
    maximise(federation, likelihood)


def means(sums: Curvature) -> Floats:
    """Mean of each input, weighted by the variance of the rows, from sums with an intercept."""
    information = sums["information"]
    return np.asarray(information[0, 1:] / max(float(information[0, 0]), np.finfo(np.float64).tiny))


def glm_keys(name: str, task: str, settings: GlmSettings) -> Keys:
    """The keys of a plan that fits a generalised linear model."""
    p = settings.inputs + settings.intercept
    shapes = {
        "log_likelihood": {"float64": []},
        "gradient": {"float64": [p]},
        "information": {"float64": [p, p]},
    }
    sent = {CENTRE: {"float64": [settings.inputs]}}
    own = OwnTask(task, {"curvature": shapes}, sent=sent, model=True, exchanges=1 + settings.intercept)
    return own_keys(name, settings, [own], rounds=settings.rounds)


def design(x: Floats, settings: GlmSettings, centre: Floats) -> Floats:
    """Inputs around a centre of shape (inputs,), with the intercept, where the model has one."""
    return with_ones(x - centre, intercept=settings.intercept)
