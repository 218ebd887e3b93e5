"""Survival curves of the pooled table (Kaplan and Meier 1958, doi 10.1080/01621459.1958.10501452).

With d events among n rows at risk at each time,

    S(t) = product over times up to t of (1 - d / n)
    variance of log S(t) = sum over times up to t of d / (n (n - d))       (Greenwood 1926)

and limits for log(-log S) from its normal approximation (Kalbfleisch and Prentice 1980, section 1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, arrays, own_keys
from hanse.algorithms.pooled_rows import sample, summed
from hanse.algorithms.survival.counts import CurveSettings, at_risk, local_counts, survival_shapes
from hanse.algorithms.table import Counts, Floats, Table
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.workflow.federation import Federation

NAME = "kaplan_meier"
TASK = "survival"


class KaplanMeierSettings(CurveSettings):
    """Settings of survival curves."""

    confidence: float = Field(0.95, gt=0, lt=1, description="Of the limits around a curve.")


def local(table: Table, settings: KaplanMeierSettings) -> tuple[int, dict[str, Group]]:
    """Counts of one site; see `local_counts`."""
    return local_counts(table, settings)


def solve(survival: Mapping[str, Any], settings: KaplanMeierSettings) -> dict[str, Array]:
    """Curves, from counts over all sites.

    Returns:
        `times`, shape (times,); `survival`, `lower`, `upper`, `at_risk`, `events`, (times,); with `by`, all
        but the times have an axis of categories before. Limits are NaN where the curve is 1 or 0. With
        `grouped`, rows that left within an interval count half in `at_risk`.

    Raises:
        WorkflowError: No row is at risk.
    """
    events, n = survival["events"], np.asarray(at_risk(survival))
    with np.errstate(divide="ignore", invalid="ignore"):
        curve = np.cumprod(1 - events / np.where(n > 0, n, 1), axis=1)
        greenwood = np.cumsum(
            np.where(events > 0, events / (n * (n - events).astype(np.float64)), 0.0), axis=1
        )
        lower, upper = _limits(curve, greenwood, settings.confidence)
    found = {"survival": curve, "lower": lower, "upper": upper, "at_risk": n, "events": events}
    if settings.by is None:
        found = {name: value[0] for name, value in found.items()}
    return {"times": settings.grid, **{name: np.array(value) for name, value in found.items()}}


def _limits(curve: Floats | Counts, greenwood: Floats, confidence: float) -> tuple[Floats, Floats]:
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    log = np.log(curve)
    spread = z * np.sqrt(greenwood) / log  # of log(-log S); log S is negative
    inside = (curve > 0) & (curve < 1)
    lower = np.where(inside, np.exp(log * np.exp(-spread)), np.nan)
    upper = np.where(inside, np.exp(log * np.exp(spread)), np.nan)
    return lower, upper


def kaplan_meier(federation: Federation) -> None:
    """Survival curves of the pooled table, in one exchange."""
    settings = KaplanMeierSettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums = summed(round, TASK)
        found = solve(arrays(sums, "survival"), settings)
        round.commit(results={NAME: found, f"{NAME}_sample": sample(sums, grouped=settings.grouped)})


def _keys(settings: KaplanMeierSettings) -> Keys:
    return own_keys(NAME, settings, [OwnTask(TASK, {"survival": survival_shapes(settings)})])


KAPLAN_MEIER = Algorithm(
    name=NAME,
    field="survival",
    paper="Kaplan and Meier 1958, doi 10.1080/01621459.1958.10501452",
    travels="Numbers of events and of rows that leave by time, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=KaplanMeierSettings,
    keys=_keys,
    results="`kaplan_meier`: `times`, `survival`, `lower`, `upper`, `at_risk`, `events`",
)
