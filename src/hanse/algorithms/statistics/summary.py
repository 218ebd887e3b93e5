"""Summary statistics: count, mean, variance, histogram and correlation, also by category.

Of the pooled table, from sums over the sites: with n rows, sums s and sums of products q around a centre c,

    mean = c + s / n,    covariance = (q - s s' / n) / (n - 1),    correlation = covariance / (sd sd').

The sums of a first exchange give the centre of the second, so that large means lose no digits.
With `missing: leave_out` each column's numbers are of the rows that have its value; with `correlation`, of
the rows that have them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys, split
from hanse.algorithms.pooled_rows import CENTRE, around_means, mean, sample, without_rounding
from hanse.algorithms.statistics.small_counts import SUPPRESS_BELOW, too_few, without
from hanse.algorithms.table import (
    Categories,
    ColumnName,
    Counts,
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

NAME = "summary"
_BLOCK = 1 << 20
"""Products that are held at a time."""
TASK = "summarise"


class SummarySettings(TableSettings):
    """Settings of summary statistics."""

    columns: tuple[ColumnName, ...] = Field(min_length=1, max_length=1_000, description="Columns of numbers.")
    by: Categories | None = Field(None, description="A column of categories; one summary for each.")
    ranges: dict[ColumnName, tuple[float, float]] = Field(
        default_factory=dict, description="Columns with a histogram, and its lowest and highest edge."
    )
    bins: int = Field(20, ge=1, le=100_000, description="Bins of a histogram, of equal width.")
    correlation: bool = Field(False, description="Whether to give covariance and correlation.")

    suppress_below: int = SUPPRESS_BELOW

    @model_validator(mode="after")
    def _of_columns(self) -> Self:
        for name, (low, high) in self.ranges.items():
            if name not in self.columns:
                raise ValueError(f"`ranges` has a column {name!r} that `columns` lacks")
            if not low < high:
                raise ValueError(f"`ranges` of {name!r} has to go from a lower to a higher number")
        return self


def local(table: Table, settings: SummarySettings, centre: Floats) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Args:
        table: The rows.
        settings: The plan's.
        centre: What the sums are around, shape (categories, columns).

    Returns:
        The number of rows, and the groups `moments` (`count` of shape (categories, columns), `sum`
        (categories, columns), `products` (categories, columns, columns), or of squares only (categories,
        columns)) and `histogram` (categories, columns with a range, bins + 2; the first and the last bin
        count what lies below and above the range).
    """
    by = [settings.by] if settings.by else []
    named = column_names(by)
    if settings.correlation:
        rows = table.complete([*settings.columns, *named], settings.missing)
    else:
        rows = table.complete(named, settings.missing, partly=settings.columns)
    codes = rows.codes(settings.by) if settings.by else np.zeros(len(rows), np.int64)
    number = _categories(settings)
    numbers, there = rows.partial_numbers(settings.columns)
    values = np.where(there, numbers - centre[codes], 0.0)
    if settings.correlation:
        products = _grouped_products(values, codes, number)
    else:
        products = grouped_sums(values**2, codes, number)
    groups: dict[str, Group] = {
        "moments": {
            "count": grouped_sums(there.astype(np.float64), codes, number).astype(np.int64),
            "sum": grouped_sums(values, codes, number),
            "products": products,
        }
    }
    if settings.ranges:
        groups["histogram"] = _histograms(numbers, there, codes, settings)
    return int(there.any(axis=1).sum()), groups


def _grouped_products(values: Floats, codes: Counts, number: int) -> Floats:
    """Sums of products of columns by category, shape (categories, columns, columns); some rows at a time."""
    products = np.zeros((number, values.shape[1], values.shape[1]))
    step = max(1, _BLOCK // max(values.shape[1], 1) ** 2)
    for begin in range(0, len(values), step):
        some = values[begin : begin + step]
        outer = some[:, :, np.newaxis] * some[:, np.newaxis, :]
        products += grouped_sums(outer, codes[begin : begin + step], number)
    return products


def _histograms(
    numbers: Floats, there: npt.NDArray[np.bool_], codes: Counts, settings: SummarySettings
) -> Counts:
    # In the order of the columns: a manifest sorts the keys of a table.
    ranges = {name: settings.ranges[name] for name in settings.columns if name in settings.ranges}
    counts = np.zeros((_categories(settings), len(ranges), settings.bins + 2), np.int64)
    for place, (name, (low, high)) in enumerate(ranges.items()):
        column = settings.columns.index(name)
        chosen = there[:, column]
        values = numbers[chosen, column]
        bins = np.searchsorted(bin_edges(low, high, settings.bins), values, side="right")
        bins[values == high] = settings.bins  # the last bin has its upper edge
        np.add.at(counts[:, place], (codes[chosen], bins), 1)
    return counts


def bin_edges(low: float, high: float, bins: int) -> Floats:
    """Edges of bins of equal width, shape (bins + 1,); the first and the last are exact."""
    shares = np.arange(bins + 1) / bins
    # Halved first: the difference of two large numbers may have no float64.
    edges = low + 2 * ((high / 2 - low / 2) * shares)
    edges[-1] = high
    return np.asarray(edges, np.float64)


def first_centre(settings: SummarySettings) -> Floats:
    """Numbers that the first sums are around, shape (categories, columns)."""
    return np.zeros((_categories(settings), len(settings.columns)))


def means(groups: Mapping[str, Any], centre: Floats) -> Floats:
    """Means by category, shape (categories, columns), from sums around a centre."""
    return mean(groups["moments"]["sum"], groups["moments"]["count"], centre)


def solve(groups: Mapping[str, Any], settings: SummarySettings, centre: Floats) -> dict[str, Array]:
    """Statistics of the pooled table, from sums over all sites.

    Args:
        groups: What `local` gives, added over the sites.
        settings: The same as at the sites.
        centre: What the sums are around.

    Returns:
        `count`, `mean`, `variance` and `sd` (of a sample, divided by n - 1), shape (columns,);
        `covariance` and `correlation`, (columns, columns), where they were asked for; `histogram` (columns
        with a range, bins) with `below` and `above`. With `by`, all have an axis of categories before.
        What is not defined, such as a variance of one row, is NaN.

    Raises:
        WorkflowError: No row has a value of a column.
    """
    count, total = groups["moments"]["count"], groups["moments"]["sum"]
    if not (found := count.sum(axis=0)).all():
        name = settings.columns[int(np.argmin(found))]
        raise WorkflowError(f"no row of any site has a value in the column {name!r}")
    n = count.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = total / n
        results: dict[str, Array] = {
            "count": count,
            "mean": centre + away,
        }
        results |= _variances(n, centre, away, groups["moments"]["products"], matrix=settings.correlation)
    if "histogram" in groups:
        histogram = groups["histogram"]
        results |= {
            "histogram": histogram[..., 1:-1],
            "below": histogram[..., 0],
            "above": histogram[..., -1],
        }
    if settings.suppress_below:
        results = _suppressed(results, settings.suppress_below)
    if settings.by is None:
        results = {name: value[0] for name, value in results.items()}
    return {name: np.array(value) for name, value in results.items()}


def _suppressed(results: Mapping[str, Array], below: int) -> dict[str, Array]:
    """Statistics without those of few rows; see `hanse.algorithms.statistics.small_counts`."""
    few = too_few(np.asarray(results["count"]).T, below).T  # over the categories
    hidden = dict.fromkeys(("count", "mean", "variance", "sd"), few)
    hidden |= dict.fromkeys(("covariance", "correlation"), few[:, :, np.newaxis] | few[:, np.newaxis, :])
    if "histogram" in results:
        ends = [np.asarray(results[name])[..., np.newaxis] for name in ("below", "above")]
        bins = too_few(np.concatenate([np.asarray(results["histogram"]), *ends], axis=-1), below)
        # All of a histogram would give the count.
        bins |= np.asarray(few.any(axis=1))[:, np.newaxis, np.newaxis]
        hidden |= {"histogram": bins[..., :-2], "below": bins[..., -2], "above": bins[..., -1]}
    return without(results, hidden)


def _variances(
    n: Floats, centre: Floats, away: Floats, products: Floats, *, matrix: bool
) -> dict[str, Array]:
    few = np.where(n > 1, n - 1, np.nan)
    if not matrix:
        variance = without_rounding((products - n * away**2) / few, centre + away)
        return {"variance": variance, "sd": np.sqrt(variance)}
    outer = away[:, :, np.newaxis] * away[:, np.newaxis, :]
    covariance = (products - n[:, :1, np.newaxis] * outer) / few[:, :1, np.newaxis]
    variance = without_rounding(np.diagonal(covariance, axis1=1, axis2=2), centre + away)
    places = np.arange(variance.shape[1])
    covariance[:, places, places] = variance
    sd = np.sqrt(variance)
    # Of a column that does not vary it is not defined; what is left of its covariances is rounding.
    varying = np.where(sd > 0, sd, np.nan)
    correlation = covariance / (varying[:, :, np.newaxis] * varying[:, np.newaxis, :])
    return {"variance": variance, "sd": sd, "covariance": covariance, "correlation": correlation}


def summary(federation: Federation) -> None:
    """Summary statistics of the pooled table, in two exchanges of one round."""
    settings = SummarySettings.of(federation.options, NAME)
    for round in federation.rounds():
        sums, centre = around_means(round, TASK, first_centre(settings), means)
        found = solve(sums.groups, settings, centre)
        histogram, matrices = ("histogram", "below", "above"), ("covariance", "correlation")
        parts = split(NAME, found, histogram=histogram, matrices=matrices)
        round.commit(results={**parts, f"{NAME}_sample": sample(sums)})


def _categories(settings: SummarySettings) -> int:
    return len(settings.by.categories) if settings.by else 1


def _keys(settings: SummarySettings) -> Keys:
    g, p = _categories(settings), len(settings.columns)
    products = [g, p, p] if settings.correlation else [g, p]
    moments = {"count": {"int64": [g, p]}, "sum": {"float64": [g, p]}, "products": {"float64": products}}
    totals: dict[str, Any] = {"moments": moments}
    if settings.ranges:
        totals["histogram"] = {"int64": [g, len(settings.ranges), settings.bins + 2]}
    sent = {CENTRE: {"float64": [g, p]}}
    return own_keys(NAME, settings, [OwnTask(TASK, totals, sent=sent, exchanges=2)])


SUMMARY = Algorithm(
    name=NAME,
    field="statistics",
    paper="Chan, Golub and LeVeque 1983, doi 10.1080/00031305.1983.10483115",
    travels="Means to the sites; numbers of rows, sums, sums of products and counts in bins, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=SummarySettings,
    keys=_keys,
    results="`summary`: `count`, `mean`, `variance`, `sd` by column; `summary_histogram`, "
    "`summary_matrices` (`covariance`, `correlation`)",
)
