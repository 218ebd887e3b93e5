"""Newton's method on a likelihood whose gradient and curvature are sums over sites.

From coefficients b with log-likelihood l, gradient g and information H (minus the second derivatives), the
next are b + H^-1 g. Where the log-likelihood has become smaller, the step is halved until it has not
(Fisher scoring with step halving; McCullagh and Nelder 1989, section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.algorithms.own_task import arrays, split
from hanse.algorithms.pooled_rows import (
    CENTRE,
    SITES,
    check_as_in_state,
    check_same,
    sample,
    site_names,
    summed,
)
from hanse.algorithms.regression.inputs import scaled_inverse
from hanse.algorithms.table import Feature, Floats, input_names
from hanse.algorithms.tails import normal_two_sided
from hanse.core.values.groups import arrays_of
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate
from hanse.core.values.wording import counted
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation, Round

_CLOSE = 1e-18
"""Newton decrement g' H^-1 g below which a step is the last: coefficients are then 1e-9 of a standard error
from their limit, and the step itself takes them about as many digits further again."""

_ROUNDED = 1e-9
"""Part of the log-likelihood by which it may become smaller: rounding of sums."""

_STILL_MOVING = 1e-4
"""Standard deviations of an input by which a last step may not change the linear predictor: steps then get
no shorter, and it is the likelihood that has become flat."""

_BASELINE = ("times", "cumulative_hazard", "hazard_at_centre", "events")

_FIT = ("covariance", "log_likelihood", "converged", "rounds", "grouped")
"""Arrays of a result beside the vectors of one number for each input."""

Curvature = Mapping[str, Any]
"""`log_likelihood`, shape (); `gradient`, (inputs,); `information`, (inputs, inputs); over all sites."""


def too_far(state: Parameters, curvature: Curvature) -> bool:
    """Check if the likelihood is smaller than before the last step, or not a number."""
    if "log_likelihood" not in state:
        return False
    best = float(state["log_likelihood"])
    return not float(curvature["log_likelihood"]) >= best - _ROUNDED * abs(best)


def half(state: Parameters) -> tuple[Floats, Parameters]:
    """Coefficients after half of the last step, with their state; see `step`."""
    shorter = np.asarray(state["step"] / 2)
    return np.asarray(state["from"] + shorter), {**state, "step": shorter}


def step(beta: Floats, curvature: Curvature, inverse: Floats) -> tuple[Floats, Parameters, bool]:
    """One step of Newton's method.

    Args:
        beta: The coefficients that the sites were asked at.
        curvature: At `beta`.
        inverse: Of the information.

    Returns:
        The next coefficients; the state: `from`, where the step began; `step`, what was added;
        `log_likelihood` at `from`; and whether the step was the last.
    """
    direction = inverse @ curvature["gradient"]
    likelihood = float(curvature["log_likelihood"])
    last = float(curvature["gradient"] @ direction) < _CLOSE * max(abs(likelihood), 1.0)
    state = {
        "from": np.asarray(beta),
        "step": np.asarray(direction),
        "log_likelihood": np.array(likelihood),
    }
    return np.asarray(beta + direction), state, last


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


@dataclass(frozen=True, slots=True)
class Likelihood:
    """A likelihood whose derivatives are sums over sites.

    Attributes:
        task: The task that gives sums at the model `beta` for inputs around the group `centre`.
        group: The group that has them.
        result: Name of the result.
        features: What the inputs are made of.
        intercept: Whether the first coefficient is the intercept.
        curvature_of: Log-likelihood with its derivatives, from the sums at coefficients.
        means: A mean of each input without the intercept, from the sums at coefficients of 0; None where the
            likelihood changes when inputs are centred: of a model without an intercept.
        more: What else the result has, from the sums, the coefficients and the centre.
        separates: Whether by the sums the inputs separate outcomes without error.
    """

    task: str
    group: str
    result: str
    features: tuple[Feature, ...]
    intercept: bool
    curvature_of: Callable[[Curvature, Floats], Curvature]
    means: Callable[[Curvature], Floats] | None
    more: Callable[[Curvature, Floats, Floats], Mapping[str, Array]] = lambda *_: {}
    separates: Callable[[Curvature], bool] = lambda _: False

    @property
    def inputs(self) -> int:
        """Number of inputs, without the intercept."""
        return len(input_names(self.features))


def maximise(federation: Federation, likelihood: Likelihood) -> None:
    """Find the coefficients at which a likelihood is largest, one step a round; ends with the last step.

    Inputs are taken around their means, so that no digits are lost where these are large. The model is of
    the inputs as they are.

    Raises:
        WorkflowError: The method has not converged in the plan's rounds, the coefficients do not exist, or
            other sites answer than in the first round.
    """
    size = likelihood.inputs + likelihood.intercept
    for round in federation.rounds(first={"beta": np.zeros(size)}):
        if "converged" in round.state:
            return
        sums, before = _asked(round, likelihood)
        beta, centre = np.asarray(before["beta"]), np.asarray(before[CENTRE])
        own = arrays(sums, likelihood.group)
        curvature = likelihood.curvature_of(own, beta)
        if likelihood.separates(own):
            raise _separated(likelihood.result)
        if too_far(before, curvature):
            _check_rounds(round)
            beta, state = half(before)
            round.commit({"beta": as_they_are(beta, centre)}, state={**before, **state, "beta": beta})
            continue
        inverse = _inverse(round, likelihood, curvature)
        after, state, last = step(beta, curvature, inverse)
        if last and (np.abs(state["step"]) * before["spread"] > _STILL_MOVING).any():
            raise _separated(likelihood.result)
        model = {"beta": as_they_are(after, centre)}
        if not last:
            _check_rounds(round)
            round.commit(model, state={**before, **state, "beta": after})
            continue
        found = {
            **wald(model["beta"], covariance_as_they_are(inverse, centre)),
            "log_likelihood": np.array(curvature["log_likelihood"]),
            "converged": np.array(1.0),
            "rounds": np.array(round.number),
            **likelihood.more(own, beta, centre),
        }
        results = split(likelihood.result, found, fit=_FIT, baseline=_BASELINE)
        results[f"{likelihood.result}_sample"] = sample(sums)
        round.commit(model, state={"converged": np.ones(())}, results=results)
        return


def _asked(round: Round, likelihood: Likelihood) -> tuple[Aggregate, dict[str, Array]]:
    """The sums of a round, and the state that it begins with."""
    task = likelihood.task
    if CENTRE in round.state:
        state = dict(arrays_of(round.state))
        at = {"beta": state["beta"]}
        sums = summed(round, task, at, groups={CENTRE: state[CENTRE]})
        check_as_in_state(sums, round.state)
        return sums, state
    at, centre = dict(round.model), np.zeros(likelihood.inputs)
    sums = summed(round, task, at, groups={CENTRE: centre})
    if likelihood.means is not None:
        centre = likelihood.means(arrays(sums, likelihood.group))
        first, sums = sums, summed(round, task, at, groups={CENTRE: centre})
        check_same(first.sites, sums.sites)
    beta = np.asarray(at["beta"])
    information = likelihood.curvature_of(arrays(sums, likelihood.group), beta)["information"]
    spread = np.sqrt(np.maximum(np.diagonal(information), 0) / max(sums.num_examples, 1))
    return sums, {"beta": beta, CENTRE: centre, "spread": spread, SITES: site_names(sums)}


def as_they_are(beta: Floats, centre: Floats) -> Floats:
    """Coefficients of inputs as they are, from those of inputs around a centre."""
    if len(beta) == len(centre):
        return beta
    return np.concatenate([[beta[0] - centre @ beta[1:]], beta[1:]])


def covariance_as_they_are(covariance: Floats, centre: Floats) -> Floats:
    """The covariance of `as_they_are`."""
    if len(covariance) == len(centre):
        return covariance
    turn = np.eye(len(covariance))
    turn[0, 1:] = -centre
    return np.asarray(turn @ covariance @ turn.T)


def _inverse(round: Round, likelihood: Likelihood, curvature: Curvature) -> Floats:
    try:
        return scaled_inverse(curvature["information"], likelihood.features, intercept=likelihood.intercept)
    except WorkflowError as error:
        if round.number == 1:
            raise
        # At the first coefficients the inputs were not combinations of each other.
        raise _separated(likelihood.result) from error


def _separated(result: str) -> WorkflowError:
    return WorkflowError(
        f"the {result.replace('_', ' ')} has no largest likelihood: inputs separate outcomes without error "
        "(separation), so that a coefficient grows without end",
        mend="Leave out the input, join categories in which all rows have one outcome, or give the model a "
        "`ridge`.",
    )


def _check_rounds(round: Round) -> None:
    """Refuse to end a run without coefficients.

    Raises:
        WorkflowError: This round is the plan's last.
    """
    if round.number >= round.plan.rounds:
        raise WorkflowError(
            f"Newton's method has not converged in {counted(round.plan.rounds, 'round')}",
            mend="Raise `rounds` of the algorithm. If 25 are not enough, look for categories in which all "
            "rows have one outcome, or give the model a `ridge`.",
        )
