"""Log-rank test of the pooled table (Mantel 1966; Peto and Peto 1972, doi 10.2307/2344317).

At each time, d events among n rows at risk; n_g of them in group g. Under the null hypothesis group g
expects d n_g / n events, with covariance d (n - d) / (n - 1) (n_g / n) ((g = h) - n_h / n). With O - E the
sum over times of what was seen less what was expected, and V the sum of covariances, the statistic
(O - E)' V^-1 (O - E) over all groups but one has (groups - 1) degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, arrays, own_keys, split
from hanse.algorithms.pooled_rows import sample, summed
from hanse.algorithms.survival.counts import CurveSettings, at_risk, local_counts, survival_shapes
from hanse.algorithms.table import Table
from hanse.algorithms.tails import chi_square
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "log_rank"
TASK = "survival_by_group"


class LogRankSettings(CurveSettings):
    """Settings of the log-rank test."""

    @model_validator(mode="after")
    def _compares(self) -> Self:
        if self.curves < 2:
            raise ValueError("`by` names the column with the categories that are compared, at least two")
        return self


def local(table: Table, settings: LogRankSettings) -> tuple[int, dict[str, Group]]:
    """Counts of one site; see `local_counts`."""
    return local_counts(table, settings)


def solve(survival: Mapping[str, Any]) -> dict[str, Array]:
    """The test, from counts over all sites.

    Returns:
        `observed` and `expected` events, shape (categories,); `chi_square`, `degrees_of_freedom` and
        `p_value`, ().

    Raises:
        WorkflowError: No row is at risk, fewer than two categories have rows at risk, there are no events, or
            all rows have theirs at one time.
    """
    events, n_by = survival["events"].astype(np.float64), at_risk(survival).astype(np.float64)
    d, n = events.sum(axis=0), n_by.sum(axis=0)
    used = n > 0
    shares = n_by[:, used] / n[used]
    d, n, observed = d[used], n[used], events.sum(axis=1)
    expected = (shares * d).sum(axis=1)
    factor = d * (n - d) / np.maximum(n - 1, 1)
    covariance = np.diag((shares * factor).sum(axis=1)) - (shares * factor) @ shares.T
    there = np.flatnonzero(expected > 0)
    if len(there) < 2:
        raise WorkflowError("a log-rank test needs events, and rows at risk in at least two categories")
    if not factor.any():
        raise WorkflowError(
            "a log-rank test compares who has the event first, and all rows have theirs at one time",
            mend="Count the events at more `times`, or in smaller units.",
        )
    kept = there[:-1]
    difference = (observed - expected)[kept]
    statistic = float(difference @ np.linalg.solve(covariance[np.ix_(kept, kept)], difference))
    return {
        "observed": observed,
        "expected": expected,
        "chi_square": np.array(statistic),
        "degrees_of_freedom": np.array(len(kept)),
        "p_value": np.array(chi_square(statistic, len(kept))),
    }


def log_rank(federation: Federation) -> None:
    """Log-rank test of the pooled table, in one exchange."""
    settings = LogRankSettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums = summed(round, TASK)
        found = solve(arrays(sums, "survival"))
        test = ("chi_square", "degrees_of_freedom", "p_value")
        told = sample(sums, grouped=settings.grouped)
        round.commit(results={**split(NAME, found, test=test), f"{NAME}_sample": told})


def _keys(settings: LogRankSettings) -> Keys:
    return own_keys(NAME, settings, [OwnTask(TASK, {"survival": survival_shapes(settings)})])


LOG_RANK = Algorithm(
    name=NAME,
    field="survival",
    paper="Peto and Peto 1972, doi 10.2307/2344317",
    travels="Numbers of events and of rows that leave by time and category, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=LogRankSettings,
    keys=_keys,
    results="`log_rank`: `observed`, `expected`; `log_rank_test`: `chi_square`, `degrees_of_freedom`, "
    "`p_value`",
)
