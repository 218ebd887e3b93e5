"""Cox regression on the pooled table by Newton's method, from sums over risk sets.

Cox 1972 (doi 10.1111/j.2517-6161.1972.tb00899.x), ties after Breslow 1974; exact from the sites' sums as in
WebDISCO (Lu et al. 2015, J. Am. Med. Inform. Assoc. 22(6), 1212-1219). At coefficients b and each time t with
d events, over the rows at risk:

    s0 = S exp(x b),   s1 = S x exp(x b),   s2 = S x x' exp(x b)
    log-likelihood  = S over events of x b - S over times of d log s0
    gradient        = S over events of x   - S over times of d s1 / s0
    information     = S over times of d (s2 / s0 - s1 s1' / s0^2)

The plan's times have every time of an event, and so these are those of the pooled rows; with `grouped: true`
events count at the next of the times, and are approximate (see `hanse.algorithms.survival.counts`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys
from hanse.algorithms.pooled_rows import CENTRE
from hanse.algorithms.regression.newton import Curvature, Likelihood, maximise
from hanse.algorithms.survival.counts import Periods, places
from hanse.algorithms.table import Feature, Floats, Table, column_names, input_names
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "cox_regression"
TASK = "risk_sets"

_LARGEST_PREDICTOR = 300.0
"""A larger one would make sums that are not finite; a step that leads there is halved."""


class CoxSettings(Periods):
    """Settings of Cox regression."""

    features: tuple[Feature, ...] = Field(
        min_length=1,
        max_length=1_000,
        description="Columns of numbers; or of categories, which become an input for each after the first.",
    )
    ridge: float = Field(0.0, ge=0, description="Weight of half the squared coefficients; 0: none.")
    rounds: int = Field(25, ge=1, le=1_000, description="Most steps of Newton's method.")

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(input_names(self.features))


def local(table: Table, settings: CoxSettings, beta: Floats, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Sums of one site.

    Args:
        table: The rows.
        settings: The plan's.
        beta: Coefficients, shape (inputs,).
        centre: What is subtracted from the inputs, shape (inputs,).

    Returns:
        The number of rows, and the group `risk`: `events`, shape (times,); `x_events`, the inputs summed
        over events, (inputs,); `s0`, (times,); `s1`, (times, inputs); `s2`, (times, inputs, inputs).
    """
    columns = [settings.time, settings.event, *column_names(settings.features)]
    rows = table.complete(columns, settings.missing)
    x, number = rows.inputs(settings.features) - centre, len(settings.grid)
    leave, event, within = places(rows, settings)
    happened = event >= 0
    weights = np.exp(np.minimum(x @ beta, _LARGEST_PREDICTOR))
    s0, s1 = np.zeros(number + 1), np.zeros((number + 1, x.shape[1]))
    s2 = np.zeros((number + 1, x.shape[1], x.shape[1]))
    for place in np.unique(leave):
        s0[place], s1[place], s2[place] = _sums(x, weights, leave == place)
    s0, s1, s2 = _at_risk(s0), _at_risk(s1), _at_risk(s2)
    for place in np.unique(within[within >= 0]):  # with `grouped`
        half = _sums(x, weights / 2, within == place)
        s0[place], s1[place], s2[place] = s0[place] + half[0], s1[place] + half[1], s2[place] + half[2]
    risk = {
        "events": np.bincount(event[happened], minlength=number).astype(np.int64),
        "x_events": x[happened].sum(axis=0),
        "s0": s0,
        "s1": s1,
        "s2": s2,
    }
    return len(rows), {"risk": risk}


def _sums(x: Floats, weights: Floats, chosen: npt.NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
    """Sums of weights, and of inputs and their products times these, over chosen rows."""
    weighted = x[chosen] * weights[chosen, np.newaxis]
    return float(weights[chosen].sum()), weighted.sum(axis=0), weighted.T @ x[chosen]


def curvature(risk: Mapping[str, Any], beta: Floats, settings: CoxSettings) -> Curvature:
    """Log-likelihood with its first and second derivatives, from sums over all sites.

    Raises:
        WorkflowError: There are no events.
    """
    used = risk["events"] > 0
    if not used.any():
        raise WorkflowError("there are no events at the times of the plan")
    d, s0 = risk["events"][used].astype(np.float64), risk["s0"][used]
    mean = risk["s1"][used] / s0[:, np.newaxis]
    second = np.tensordot(d / s0, risk["s2"][used], axes=1)
    return {
        "log_likelihood": risk["x_events"] @ beta - d @ np.log(s0) - settings.ridge * (beta @ beta) / 2,
        "gradient": risk["x_events"] - d @ mean - settings.ridge * beta,
        "information": second - (mean.T * d) @ mean + settings.ridge * np.eye(len(beta)),
    }


def means(risk: Mapping[str, Any]) -> Floats:
    """Mean of each input over the rows at risk at the first time, from sums at coefficients of 0."""
    return np.asarray(risk["s1"][0] / risk["s0"][0]) if risk["s0"][0] else np.zeros(risk["s1"].shape[1])


def baseline(risk: Mapping[str, Any], beta: Floats, centre: Floats) -> dict[str, Array]:
    """Breslow's cumulative hazard, shape (times,).

    Args:
        risk: What `local` gives, added over the sites.
        beta: The coefficients that it is at.
        centre: What the inputs are around.

    Returns:
        `hazard_at_centre`, of a row whose inputs are the centre; `cumulative_hazard`, of one whose inputs are
        all 0, NaN where that is too far from the rows to be a number; `events`.
    """
    events, s0 = risk["events"], risk["s0"]
    steps = np.divide(events, s0, out=np.zeros(len(s0)), where=s0 > 0)
    at_centre, shift = steps.cumsum(), -float(centre @ beta)
    factor = math.exp(shift) if abs(shift) < _LARGEST_PREDICTOR else math.nan
    return {"cumulative_hazard": at_centre * factor, "hazard_at_centre": at_centre, "events": events}


def cox_regression(federation: Federation) -> None:
    """Cox regression on the pooled table, one step of Newton's method a round."""
    settings = CoxSettings.of(federation.options, NAME)
    likelihood = Likelihood(
        TASK,
        "risk",
        NAME,
        settings.features,
        False,
        lambda risk, beta: curvature(risk, beta, settings),
        means,
        lambda risk, beta, centre: {
            "centre": centre,
            "times": settings.grid,
            **baseline(risk, beta, centre),
            "grouped": np.array(int(settings.grouped)),
        },
    )
    maximise(federation, likelihood)


def _at_risk(sums: Floats) -> Floats:
    """Sums over the rows at risk at each time, from those over the rows that leave after each."""
    return np.asarray(sums[::-1].cumsum(axis=0)[::-1][1:])


def _keys(settings: CoxSettings) -> Keys:
    p, number = settings.inputs, len(settings.grid)
    risk = {"events": {"int64": [number]}, "x_events": {"float64": [p]}, "s0": {"float64": [number]}}
    risk |= {"s1": {"float64": [number, p]}, "s2": {"float64": [number, p, p]}}
    sent = {CENTRE: {"float64": [p]}}
    task = OwnTask(TASK, {"risk": risk}, sent=sent, model=True, exchanges=2)
    return own_keys(NAME, settings, [task], rounds=settings.rounds)


COX_REGRESSION = Algorithm(
    name=NAME,
    field="survival",
    paper="Cox 1972, doi 10.1111/j.2517-6161.1972.tb00899.x; Lu et al. 2015, doi 10.1093/jamia/ocv083",
    travels="The coefficients and means of the inputs to the sites; events, and sums of the inputs over rows "
    "at risk by time, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=CoxSettings,
    keys=_keys,
    results="`cox_regression`, `cox_regression_fit`, as of `logistic_regression`; "
    "`cox_regression_baseline`: `times`, `cumulative_hazard`, `hazard_at_centre`, `events`",
)
