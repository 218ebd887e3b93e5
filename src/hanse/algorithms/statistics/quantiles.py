"""Quantiles by refined histograms, with a bound of their error.

The quantile q of n values is the ceil(q n)-th smallest (the inverse of the empirical distribution function;
NumPy's `inverted_cdf`). Each round counts the values in bins of the interval that has it, and the bin that
has it is the next interval: after r rounds the interval is (highest - lowest) / bins^r wide, and the
quantile is at most half of that away from the middle that is given. With `missing: leave_out` each column's
are of the rows that have its value.

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
from hanse.algorithms.pooled_rows import SITES, check_as_in_state, sample, site_names, summed
from hanse.algorithms.statistics.summary import bin_edges
from hanse.algorithms.table import (
    Categories,
    ColumnName,
    Floats,
    Table,
    TableSettings,
    column_names,
    grouped_sums,
)
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
    by: Categories | None = Field(None, description="A column of categories; quantiles of each.")
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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of categories of `by` (1 without), of columns and of quantiles."""
        return (len(self.by.categories) if self.by else 1, len(self.ranges), len(self.quantiles))


def first_intervals(settings: QuantileSettings) -> Floats:
    """The ranges, as intervals for each category, column and quantile; see `local`."""
    ranges = np.array([settings.ranges[name] for name in settings.columns])
    ranges[:, 0] = np.nextafter(ranges[:, 0], -np.inf)  # an interval lacks its lower end, a range has it
    return np.array(np.broadcast_to(ranges[:, np.newaxis], (*settings.shape, 2)))


def local(table: Table, settings: QuantileSettings, intervals: Floats) -> tuple[int, dict[str, Group]]:
    """Count the values of one site in the bins of each interval.

    Args:
        table: The rows.
        settings: The plan's.
        intervals: Each above its lower and up to its upper end, shape (categories, columns, quantiles, 2).

    Returns:
        The number of rows, and the group `located`: `count`, shape (categories, columns); `below`,
        how many values are at most the lower end, (categories, columns, quantiles); `inside`, (categories,
        columns, quantiles, bins).
    """
    by = [settings.by] if settings.by else []
    rows = table.complete(column_names(by), settings.missing, partly=settings.columns)
    codes = rows.codes(settings.by) if settings.by else np.zeros(len(rows), np.int64)
    values, there = rows.partial_numbers(settings.columns)
    inside = np.zeros((*settings.shape, settings.bins), np.int64)
    below = np.zeros(settings.shape, np.int64)
    for place in np.ndindex(settings.shape):
        low, high = intervals[place]
        edges = bin_edges(low, high, settings.bins)
        chosen = values[(codes == place[0]) & there[:, place[1]], place[1]]
        bins = np.searchsorted(edges, chosen, side="left")  # edge < value <= next edge
        counts = np.bincount(bins, minlength=settings.bins + 2)
        below[place], inside[place] = counts[0], counts[1:-1]
    count = grouped_sums(there.astype(np.float64), codes, settings.shape[0]).astype(np.int64)
    return int(there.any(axis=1).sum()), {"located": {"count": count, "below": below, "inside": inside}}


def refined(located: Mapping[str, Any], settings: QuantileSettings, intervals: Floats) -> Floats:
    """The bins that have the quantiles, as the next intervals.

    Args:
        located: What `local` gives, added over the sites.
        settings: The plan's.
        intervals: Those that the sites were given.

    Raises:
        WorkflowError: There are no rows, or a quantile is outside the column's range.
    """
    found = np.empty_like(intervals)
    for place in np.ndindex(settings.shape):
        count, below = int(located["count"][place[:2]]), located["below"][place]
        quantile, column = settings.quantiles[place[2]], settings.columns[place[1]]
        if not count:
            raise WorkflowError(
                f"no row of any site has a value in the column {column!r}, or none of a category"
            )
        # As it is written: 0.1 of 30 values is the third, though 0.1 * 30 is more than 3.
        rank = max(math.ceil(round(quantile * count, 9)), 1)
        upto = below + np.cumsum(located["inside"][place])
        bin = int(np.searchsorted(upto, rank, side="left"))
        if bin == settings.bins or below >= rank:
            raise WorkflowError(
                f"the quantile {quantile:g} of {column!r} is outside its range",
                mend="Widen `ranges` of the column.",
            )
        low, high = intervals[place]
        found[place] = bin_edges(low, high, settings.bins)[bin : bin + 2]
    return found


def results(intervals: Floats, settings: QuantileSettings) -> dict[str, Array]:
    """The quantiles, as far as they are found.

    Returns:
        `value`, the middle of each interval, and `bound`, how far the quantile is from it at most; shape
        (columns, quantiles), the columns sorted by name; with `by`, with an axis of categories before.
    """
    found = intervals if settings.by else intervals[0]
    low, high = found[..., 0], found[..., 1]
    return {"value": low / 2 + high / 2, "bound": (high - low) / 2}


def quantiles(federation: Federation) -> None:
    """Quantiles of the pooled table, one refinement a round."""
    settings = QuantileSettings.of(federation.options, NAME)
    for round in federation.rounds():
        intervals = np.asarray(round.state.get("intervals", first_intervals(settings)))
        sums = summed(round, TASK, groups={"intervals": intervals})
        check_as_in_state(sums, round.state)
        intervals = refined(arrays(sums, "located"), settings, intervals)
        found = {NAME: results(intervals, settings), f"{NAME}_sample": sample(sums)}
        round.commit(state={"intervals": intervals, SITES: site_names(sums)}, results=found)


def _keys(settings: QuantileSettings) -> Keys:
    shape = list(settings.shape)
    located = {
        "count": {"int64": shape[:2]},
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
    results="`quantiles`: `value` and `bound`, columns (sorted) by quantiles",
)
