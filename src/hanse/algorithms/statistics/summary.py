"""Summary statistics: count, mean, variance, histogram and correlation, also by category.

Of the pooled table, from sums over the sites: with n rows, sums s and sums of products q,

    mean = s / n,    covariance = (q - s s' / n) / (n - 1),    correlation = covariance / (sd sd').

Products are sums of squares around `origin`, a number near the mean of each column: the relative error of a
variance is about 1e-16 times the squared distance of the mean from the origin, divided by the variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, own_keys, split
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
from hanse.workflow.federation import Federation

NAME = "summary"
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
    origin: dict[ColumnName, float] = Field(
        default_factory=dict, description="A number near the mean of a column, for exact variances; else 0."
    )

    @model_validator(mode="after")
    def _of_columns(self) -> Self:
        for key, names in (("ranges", self.ranges), ("origin", self.origin)):
            for name in names:
                if name not in self.columns:
                    raise ValueError(f"`{key}` has a column {name!r} that `columns` lacks")
        for name, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"`ranges` of {name!r} has to go from a lower to a higher number")
        return self


def local(table: Table, settings: SummarySettings) -> tuple[int, dict[str, Group]]:
    """Sums over the rows of one site.

    Returns:
        The number of rows, and the groups `moments` (`count` of shape (categories,), `sum` (categories,
        columns), `products` (categories, columns, columns), or of squares only (categories, columns)) and
        `histogram` (categories, columns with a range, bins + 2; the first and the last bin count what lies
        below and above the range).
    """
    by = [settings.by] if settings.by else []
    rows = table.complete([*settings.columns, *column_names(by)], settings.missing)
    codes = rows.codes(settings.by) if settings.by else np.zeros(len(rows), np.int64)
    number = _categories(settings)
    values = rows.numbers(settings.columns) - _origin(settings)
    products = values[:, :, np.newaxis] * values[:, np.newaxis, :] if settings.correlation else values**2
    groups: dict[str, Group] = {
        "moments": {
            "count": np.bincount(codes, minlength=number).astype(np.int64),
            "sum": grouped_sums(values, codes, number),
            "products": grouped_sums(products, codes, number),
        }
    }
    if settings.ranges:
        groups["histogram"] = _histograms(rows, codes, settings)
    return len(rows), groups


def _histograms(rows: Table, codes: Counts, settings: SummarySettings) -> Counts:
    # In the order of the columns: a manifest sorts the keys of a table.
    ranges = {name: settings.ranges[name] for name in settings.columns if name in settings.ranges}
    counts = np.zeros((_categories(settings), len(ranges), settings.bins + 2), np.int64)
    for place, (name, (low, high)) in enumerate(ranges.items()):
        values = rows.numbers([name])[:, 0]
        bins = np.searchsorted(bin_edges(low, high, settings.bins), values, side="right")
        bins[values == high] = settings.bins  # the last bin has its upper edge
        np.add.at(counts[:, place], (codes, bins), 1)
    return counts


def bin_edges(low: float, high: float, bins: int) -> Floats:
    """Edges of bins of equal width, shape (bins + 1,); the first and the last are exact."""
    edges = low + (high - low) * (np.arange(bins + 1) / bins)
    edges[-1] = high
    return np.asarray(edges, np.float64)


def solve(groups: Mapping[str, Any], settings: SummarySettings) -> dict[str, Array]:
    """Statistics of the pooled table, from sums over all sites.

    Args:
        groups: What `local` gives, added over the sites.
        settings: The same as at the sites.

    Returns:
        `count`, `mean`, `variance` and `sd` (of a sample, divided by n - 1), shape (columns,);
        `covariance` and `correlation`, (columns, columns), where they were asked for; `histogram` (columns
        with a range, bins) with `below` and `above`. With `by`, all have an axis of categories before.
        What is not defined, such as a variance of one row, is NaN.
    """
    count, total = groups["moments"]["count"], groups["moments"]["sum"]
    n = count[:, np.newaxis].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        results: dict[str, Array] = {
            "count": np.repeat(count[:, np.newaxis], total.shape[1], axis=1),
            "mean": mean + _origin(settings),
        }
        results |= _variances(n, mean, groups["moments"]["products"], matrix=settings.correlation)
    if "histogram" in groups:
        histogram = groups["histogram"]
        results |= {
            "histogram": histogram[..., 1:-1],
            "below": histogram[..., 0],
            "above": histogram[..., -1],
        }
    if settings.by is None:
        results = {name: value[0] for name, value in results.items()}
    return {name: np.array(value) for name, value in results.items()}


def _variances(n: Floats, mean: Floats, products: Floats, *, matrix: bool) -> dict[str, Array]:
    few = np.where(n > 1, n - 1, np.nan)
    if not matrix:
        variance = np.maximum(products - n * mean**2, 0) / few
        return {"variance": variance, "sd": np.sqrt(variance)}
    outer = mean[:, :, np.newaxis] * mean[:, np.newaxis, :]
    covariance = (products - n[:, :, np.newaxis] * outer) / few[:, :, np.newaxis]
    variance = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0)
    sd = np.sqrt(variance)
    correlation = covariance / (sd[:, :, np.newaxis] * sd[:, np.newaxis, :])
    return {"variance": variance, "sd": sd, "covariance": covariance, "correlation": correlation}


def summary(federation: Federation) -> None:
    """Summary statistics of the pooled table, in one exchange."""
    settings = SummarySettings.of(federation.options, NAME)
    for round in federation.rounds():
        found = solve(round.sum(TASK).groups, settings)
        histogram, matrices = ("histogram", "below", "above"), ("covariance", "correlation")
        round.commit(results=split(NAME, found, histogram=histogram, matrices=matrices))


def _categories(settings: SummarySettings) -> int:
    return len(settings.by.categories) if settings.by else 1


def _origin(settings: SummarySettings) -> Floats:
    return np.array([settings.origin.get(name, 0.0) for name in settings.columns])


def _keys(settings: SummarySettings) -> Keys:
    g, p = _categories(settings), len(settings.columns)
    products = [g, p, p] if settings.correlation else [g, p]
    moments = {"count": {"int64": [g]}, "sum": {"float64": [g, p]}, "products": {"float64": products}}
    totals: dict[str, Any] = {"moments": moments}
    if settings.ranges:
        totals["histogram"] = {"int64": [g, len(settings.ranges), settings.bins + 2]}
    return own_keys(NAME, settings, [OwnTask(TASK, totals)])


SUMMARY = Algorithm(
    name=NAME,
    field="statistics",
    paper="Chan, Golub and LeVeque 1983, doi 10.1080/00031305.1983.10483115",
    travels="Numbers of rows, sums, sums of products and counts in bins, over all sites.",
    sums_suffice=True,
    stays="The rows.",
    settings=SummarySettings,
    keys=_keys,
    results="`summary`: `count`, `mean`, `variance`, `sd` by column; `summary_histogram`, "
    "`summary_matrices` (`covariance`, `correlation`)",
)
