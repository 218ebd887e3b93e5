"""Newton's method on a likelihood whose gradient and curvature are sums over sites.

From coefficients b with log-likelihood l, gradient g and information H (minus the second derivatives), the
next are b + H^-1 g. Where the log-likelihood has become smaller, the step is halved until it has not
(Fisher scoring with step halving; McCullagh and Nelder 1989, section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hanse.algorithms.own_task import arrays, split
from hanse.algorithms.regression.inputs import scaled_inverse
from hanse.algorithms.table import Feature, Floats
from hanse.algorithms.tails import normal_two_sided
from hanse.core.values.groups import arrays_of
from hanse.core.values.parameters import Array, Parameters
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

_CLOSE = 1e-18
"""Newton decrement g' H^-1 g below which a step is the last: coefficients are then 1e-9 of a standard error
from their limit, and the step itself takes them about as many digits further again."""

_CERTAIN = 1e-6
"""Log-likelihood up to which the outcomes of all rows together count as predicted without doubt."""

_ROUNDED = 1e-9
"""Part of the log-likelihood by which it may become smaller: rounding of sums."""

_FIT = ("covariance", "log_likelihood", "converged", "rounds")
"""Arrays of a result beside the vectors of one number for each input."""

Curvature = Mapping[str, Any]
"""`log_likelihood`, shape (); `gradient`, (inputs,); `information`, (inputs, inputs); over all sites."""


def too_far(state: Parameters, curvature: Curvature) -> bool:
    """Check if the likelihood is smaller than before the last step, or not a number."""
    if not state:
        return False
    best = float(state["log_likelihood"])
    return not float(curvature["log_likelihood"]) >= best - _ROUNDED * abs(best)


def check_bounded(curvature: Curvature) -> None:
    """Check that a likelihood has a maximum.

    Raises:
        WorkflowError: The logarithm is nearly 0, which is as large as it can be: every row is predicted
            without doubt, and coefficients without end are better and better.
    """
    if -_CERTAIN < float(curvature["log_likelihood"]) < 0:
        raise WorkflowError(
            "the likelihood has no maximum: every outcome is predicted without doubt, and larger "
            "coefficients predict it better without end",
            mend="Look for an input that says the outcome by itself, and for an outcome that is the same in "
            "all rows; or give the model a `ridge`.",
        )


def half(state: Parameters) -> tuple[Floats, Parameters]:
    """Coefficients after half of the last step, with their state; see `step`."""
    shorter = np.asarray(state["step"] / 2)
    return np.asarray(state["from"] + shorter), {**state, "step": shorter}


def step(beta: Floats, curvature: Curvature, inverse: Floats) -> tuple[Floats, Parameters]:
    """One step of Newton's method.

    Args:
        beta: The coefficients that the sites were asked at.
        curvature: At `beta`.
        inverse: Of the information.

    Returns:
        The next coefficients, and the state: `from`, where the step began; `step`, what was added;
        `log_likelihood` at `from`; `converged`, 1 where the step was the last.
    """
    direction = inverse @ curvature["gradient"]
    likelihood = float(curvature["log_likelihood"])
    last = float(curvature["gradient"] @ direction) < _CLOSE * max(abs(likelihood), 1.0)
    return np.asarray(beta + direction), {
        "from": np.asarray(beta),
        "step": np.asarray(direction),
        "log_likelihood": np.array(likelihood),
        "converged": np.array(float(last)),
    }


def wald(beta: Floats, covariance: Floats) -> dict[str, Array]:
    """Coefficients with their standard errors and Wald tests; all of shape (inputs,) but `covariance`."""
    errors = np.sqrt(np.diagonal(covariance))
    z = beta / errors
    return {
        "coefficients": beta,
        "covariance": covariance,
        "standard_errors": errors,
        "z": z,
        "p_values": np.array([normal_two_sided(value) for value in z]),
    }


def maximise(
    federation: Federation,
    asked: tuple[str, str],
    result: str,
    first: Floats,
    curvature_of: Callable[[Curvature, Floats], Curvature],
    features: tuple[tuple[Feature, ...], bool],
    more: Callable[[Curvature], Mapping[str, Array]] = lambda _: {},
) -> None:
    """Find the coefficients at which a likelihood is largest, one step a round.

    Once they are final, the rounds that are left ask nothing.

    Args:
        federation: The sites.
        asked: The task that gives sums at the model `beta`, and the group that has them.
        result: Name of the result.
        first: Coefficients to begin with.
        curvature_of: Log-likelihood with its derivatives, from the sums at coefficients.
        features: What the inputs are made of, and whether the first is an intercept.
        more: What else the result has, from the sums.
    """
    (task, group), (names, intercept) = asked, features
    for round in federation.rounds(first={"beta": first}):
        if round.state.get("converged", np.zeros(())):
            round.commit(state=round.state)
            continue
        beta = np.asarray(round.model["beta"])
        sums = arrays(round.sum(task), group)
        curvature = curvature_of(sums, beta)
        before = arrays_of(round.state)
        if too_far(before, curvature):
            beta, state = half(before)
            round.commit({"beta": beta}, state=state)
            continue
        check_bounded(curvature)
        inverse = scaled_inverse(curvature["information"], names, intercept=intercept)
        after, state = step(beta, curvature, inverse)
        # Where the step was not the last, its end may be too far, and no round left to halve it: then
        # the coefficients at which the likelihood is known.
        best = after if state["converged"] else beta
        found = {
            **wald(best, inverse),
            "log_likelihood": np.array(curvature["log_likelihood"]),
            "converged": state["converged"],
            "rounds": np.array(round.number),
            **more(sums),
        }
        results = split(result, found, fit=_FIT, baseline=("times", "cumulative_hazard", "events"))
        round.commit({"beta": after}, state=state, results=results)
