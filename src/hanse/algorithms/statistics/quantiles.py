"""Quantiles by refined histograms, with a bound of their error.

The quantile q of n values is the ceil(q n)-th smallest (the inverse of the empirical distribution function;
NumPy's `inverted_cdf`). Each round counts the values in bins of the interval that has it, and the bin that
has it is the next interval: after r rounds the interval is (highest - lowest) / bins^r wide, and the
quantile is at most half of that away from the middle that is given.

In the first round the bins follow from the plan alone. In later rounds the aggregator's workflow chooses
them, by the answers before: a plan with `refinements: 1` has fixed bins only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, arrays, own_keys
from hanse.algorithms.statistics.summary import bin_edges
from hanse.algorithms.table import ColumnName, Floats, Table, TableSettings
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "quantiles"
TASK = "locate"


class QuantileSettings(TableSettings):
    """Settings of quantiles."""

    ranges: dict[ColumnName, tuple[float, float]] = Field(
        min_length=1,
        max_length=1_000,
        description="The columns of numbers, each with a range that has its quantiles.",
    )
    quantiles: tuple[float, ...] = Field(
        (0.25, 0.5, 0.75), min_length=1, max_length=1_000, description="Which ones, above 0 and at most 1."
    )
    bins: int = Field(64, ge=2, le=100_000, description="Bins of equal width that an interval is cut into.")
    refinements: int = Field(
        4, ge=1, le=50, description="Rounds; each makes the bound smaller by the number of bins."
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not all(0 < q <= 1 for q in self.quantiles):
            raise ValueError("`quantiles` are above 0 and at most 1")
        for name, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"`ranges` of {name!r} has to go from a lower to a higher number")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, sorted: a manifest sorts the keys of a table."""
        return tuple(sorted(self.ranges))


def first_intervals(settings: QuantileSettings) -> Floats:
    """The ranges, as intervals for each column and quantile, shape (columns, quantiles, 2)."""
    ranges = np.array([settings.ranges[name] for name in settings.columns])
    ranges[:, 0] = np.nextafter(ranges[:, 0], -np.inf)  # an interval lacks its lower end, a range has it
    return np.repeat(ranges[:, np.newaxis], len(settings.quantiles), axis=1)


def local(table: Table, settings: QuantileSettings, intervals: Floats) -> tuple[int, dict[str, Group]]:
    """Count the values of one site in the bins of each interval.

    Args:
        table: The rows.
        settings: The plan's.
        intervals: Each above its lower and up to its upper end, shape (columns, quantiles, 2).

    Returns:
        The number of rows, and the group `located`: `count`, shape (); `below`, how many values are at most
        the lower end, (columns, quantiles); `inside`, (columns, quantiles, bins).
    """
    rows = table.complete(settings.columns, settings.missing)
    values = rows.numbers(settings.columns)
    inside = np.zeros((*intervals.shape[:2], settings.bins), np.int64)
    below = np.zeros(intervals.shape[:2], np.int64)
    for column, quantile in np.ndindex(below.shape):
        low, high = intervals[column, quantile]
        edges = bin_edges(low, high, settings.bins)
        places = np.searchsorted(edges, values[:, column], side="left")  # edge < value <= next edge
        counts = np.bincount(places, minlength=settings.bins + 2)
        below[column, quantile] = counts[0]
        inside[column, quantile] = counts[1:-1]
    located = {"count": np.array(len(rows), np.int64), "below": below, "inside": inside}
    return len(rows), {"located": located}


def refined(located: Mapping[str, Any], settings: QuantileSettings, intervals: Floats) -> Floats:
    """The bins that have the quantiles, as the next intervals.

    Args:
        located: What `local` gives, added over the sites.
        settings: The plan's.
        intervals: Those that the sites were given.

    Raises:
        WorkflowError: There are no rows, or a quantile is outside the column's range.
    """
    count = int(located["count"])
    if not count:
        raise WorkflowError("no site has rows to take quantiles of")
    found = np.empty_like(intervals)
    for column, quantile in np.ndindex(intervals.shape[:2]):
        # As it is written: 0.1 of 30 values is the third, though 0.1 * 30 is more than 3.
        rank = max(math.ceil(round(settings.quantiles[quantile] * count, 9)), 1)
        upto = located["below"][column, quantile] + np.cumsum(located["inside"][column, quantile])
        place = int(np.searchsorted(upto, rank, side="left"))
        if place == settings.bins or located["below"][column, quantile] >= rank:
            raise WorkflowError(
                f"the quantile {settings.quantiles[quantile]:g} of {settings.columns[column]!r} is outside "
                "its range",
                mend="Widen `ranges` of the column.",
            )
        low, high = intervals[column, quantile]
        edges = bin_edges(low, high, settings.bins)
        found[column, quantile] = edges[place : place + 2]
    return found


def results(intervals: Floats) -> dict[str, Array]:
    """`value`, the middle of each interval, and `bound`, how far the quantile is from it at most."""
    low, high = intervals[..., 0], intervals[..., 1]
    return {"value": low / 2 + high / 2, "bound": (high - low) / 2}


def quantiles(federation: Federation) -> None:
    """Quantiles of the pooled table, one refinement a round."""
    settings = QuantileSettings.of(federation.options, NAME)
    for round in federation.rounds():
        intervals = np.asarray(round.state.get("intervals", first_intervals(settings)))
        located = arrays(round.sum(TASK, groups={"intervals": intervals}), "located")
        intervals = refined(located, settings, intervals)
        round.commit(state={"intervals": intervals}, results={NAME: results(intervals)})


def _keys(settings: QuantileSettings) -> Keys:
    shape = [len(settings.columns), len(settings.quantiles)]
    located = {
        "count": {"int64": []},
        "below": {"int64": shape},
        "inside": {"int64": [*shape, settings.bins]},
    }
    task = OwnTask(TASK, {"located": located}, sent={"intervals": {"float64": [*shape, 2]}})
    return own_keys(NAME, settings, [task], rounds=settings.refinements)


QUANTILES = Algorithm(
    name=NAME,
    field="statistics",
    paper="Hyndman and Fan 1996, doi 10.1080/00031305.1996.10473566, definition 1",
    travels="Intervals to the sites; counts in their bins, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=QuantileSettings,
    keys=_keys,
)
