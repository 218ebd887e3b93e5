"""Pictures of results: survival curves, coefficients with intervals, histograms; from their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hanse.core.values.parameters import Array
from hanse.wire.result_tables import Columns, Tables

Drawing = tuple[str, Callable[[Any], None]]
"""A title, and what draws on the axes below it."""

MOST_TERMS = 40
"""Coefficients in a picture; more would not be legible."""
MOST_PICTURES = 24
"""Pictures of results; of more histograms the first are drawn."""
MOST_CATEGORIES = 10
"""Categories that have a line of their own."""
_Z95 = 1.959963984540054
"""Standard errors from a coefficient to the ends of its 95 % interval."""


def drawings(tables: Tables) -> list[Drawing]:
    """Pictures that can be drawn of results; none of results of other kinds.

    Args:
        tables: Tables of the results; see `hanse.algorithms.result_tables.tables`.
    """
    return [drawing for name, columns in tables.items() for drawing in _of_table(name, columns)][
        :MOST_PICTURES
    ]


def _of_table(name: str, columns: Columns) -> Iterator[Drawing]:
    if {"time", "survival", "lower", "upper"} <= columns.keys():
        yield f"{name}, with limits", lambda axis: _curves(axis, columns)
    if {"term", "coefficient", "standard_error"} <= columns.keys():
        yield f"{name}, with 95 % intervals", lambda axis: _coefficients(axis, columns)
    if {"column", "lower", "upper", "count"} <= columns.keys():
        for column in dict.fromkeys(columns["column"].tolist()):
            of_column = {head: values[columns["column"] == column] for head, values in columns.items()}
            yield f"{column}", _histogram_of(of_column)


def _curves(axis: Any, columns: Columns) -> None:
    """A step curve for each category, in a band between its limits."""
    for label, rows in _by_category(columns):
        time = np.concatenate([[0.0], columns["time"][rows]])
        survival, lower, upper = (
            np.concatenate([[1.0], columns[head][rows]]) for head in ("survival", "lower", "upper")
        )
        (line,) = axis.step(time, survival, where="post", label=label)
        # A limit that is not defined, as where nothing has happened yet, has no band.
        axis.fill_between(time, lower, upper, step="post", alpha=0.2, color=line.get_color(), linewidth=0)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("time", fontsize="x-small")
    _legend(axis)


def _coefficients(axis: Any, columns: Columns) -> None:
    """A point for each term but the intercept, with its interval; the line is at 0."""
    shown = np.flatnonzero(columns["term"] != "intercept")[:MOST_TERMS]
    values, errors = columns["coefficient"][shown], columns["standard_error"][shown]
    places = range(len(shown))
    axis.errorbar(values, places, xerr=_Z95 * errors, fmt="o", markersize=4, capsize=2)
    axis.axvline(0, color="0.7", linewidth=0.8)
    axis.set_yticks(places, [str(term) for term in columns["term"][shown]])
    axis.invert_yaxis()


def _histogram_of(columns: Columns) -> Callable[[Any], None]:
    def draw(axis: Any) -> None:
        for label, rows in _by_category(columns):
            edges = np.append(columns["lower"][rows], columns["upper"][rows][-1:])
            axis.stairs(columns["count"][rows], edges, fill="category" not in columns, label=label)
        _legend(axis)

    return draw


def _by_category(columns: Columns) -> Iterator[tuple[str | None, Array]]:
    """The rows of each category with its name, or all rows where there are none."""
    if "category" not in columns:
        yield None, np.ones(len(next(iter(columns.values()))), bool)
        return
    for category in list(dict.fromkeys(columns["category"].tolist()))[:MOST_CATEGORIES]:
        yield str(category), columns["category"] == category


def _legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize="x-small")
