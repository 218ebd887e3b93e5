"""Events and rows at risk at given times, which survival curves are made of.

A row is at risk at all times up to its own. Nothing is lost where the times have every time of an event: a
site that has an event at another time refuses the task. What comes after the last of the times does not
count.

With `grouped: true` the times are the ends of intervals, as in a life table (Cutler and Ederer 1958,
doi 10.1016/0021-9681(58)90126-7): an event counts at the end of its interval, and a row whose observation
ended within an interval is at risk in half of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.table import Categories, ColumnName, Counts, Floats, Table, TableSettings, column_names
from hanse.core.values.groups import Group
from hanse.core.values.wording import counted
from hanse.errors import TaskError, WorkflowError


class Periods(TableSettings):
    """Settings that say when events are counted."""

    time: ColumnName = Field(
        description="The column with the time of the event or of the end of observation, from 0 on."
    )
    event: ColumnName = Field(description="The column that is 1 where there was an event, and else 0.")
    times: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        max_length=100_000,
        description="The times at which events are counted, ascending: all times of events up to the last.",
    )
    horizon: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Instead of `times`: 0, 1, 2, ... up to this, for times in whole units.",
    )
    grouped: bool = Field(
        False,
        description="Whether events may be between the times, which are then the ends of intervals: results "
        "are approximate, as of a life table.",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if (self.times is None) == (self.horizon is None):
            raise ValueError("say either `times` or `horizon`")
        if self.times is not None and not all(
            a < b for a, b in zip(self.times, self.times[1:], strict=False)
        ):
            raise ValueError("`times` are to be ascending")
        if self.times is not None and self.times[0] < 0:
            raise ValueError("`times` are from 0 on")
        return self

    @property
    def grid(self) -> Floats:
        """The times, shape (times,)."""
        if self.times is not None:
            return np.array(self.times)
        return np.arange((self.horizon or 0) + 1, dtype=np.float64)


class CurveSettings(Periods):
    """Settings of survival curves."""

    by: Categories | None = Field(None, description="A column of categories; one curve for each.")

    @property
    def curves(self) -> int:
        """Number of curves."""
        return len(self.by.categories) if self.by else 1


def places(rows: Table, settings: Periods) -> tuple[Counts, Counts, Counts]:
    """Where the rows leave and have their event.

    Returns:
        For each row, at how many of the times it is at risk, from 0 on; the number of the time at which its
        event counts, -1 without an event; and, with `grouped`, the number of the interval within which its
        observation ended, -1 for none.

    Raises:
        TaskError: A column is not there or not of numbers, a time is negative, an event is neither 0 nor 1,
            or one is not at any of the times.
    """
    time = rows.numbers([settings.time])[:, 0]
    if (time < 0).any():
        raise TaskError(
            f"the column {settings.time!r} has a negative time in {counted(int((time < 0).sum()), 'row')}",
            mend="Count time from the beginning of observation: 0 or more.",
        )
    happened = rows.codes(Categories(column=settings.event, categories=(0, 1))) == 1
    grid = settings.grid
    event = np.where(happened, np.searchsorted(grid, time, side="left"), -1)
    event[event == len(grid)] = -1
    if not settings.grouped:
        _check_at_times(time, event, settings)
    left = np.searchsorted(grid, time, side="right")
    at_end = (left > 0) & (grid[np.maximum(left - 1, 0)] == time)
    withdrawn = settings.grouped & ~happened & ~at_end & (left < len(grid))
    within = np.where(withdrawn, left, -1)
    leave = np.where(event >= 0, event + 1, left)
    return leave.astype(np.int64), event.astype(np.int64), within.astype(np.int64)


def _check_at_times(time: Floats, event: Counts, settings: Periods) -> None:
    """Refuse events that are not at any of the times.

    Raises:
        TaskError: There are some; says between which of the plan's times. The time of an event itself, which
            may be one person's, stays at the site.
    """
    grid = settings.grid
    between = (event >= 0) & (grid[np.maximum(event, 0)] != time)
    if not between.any():
        return
    first = int(event[between].min())
    place = f"before {grid[0]:g}" if first == 0 else f"between {grid[first - 1]:g} and {grid[first]:g}"
    said = "times" if settings.times is not None else "horizon"
    raise TaskError(
        f"the column {settings.time!r} has events at other times than those of the plan's `{said}`, in "
        f"{counted(int(between.sum()), 'row')}: the first is {place}",
        mend="List all times of events under `times`, or write `grouped: true`, for approximate results "
        "as of a life table.",
    )


def local_counts(table: Table, settings: CurveSettings) -> tuple[int, dict[str, Group]]:
    """Count the rows of one site.

    Returns:
        The number of rows, and the group `survival`: `events`, shape (curves, times); `leaving`, how many
        rows are at risk at just the first 0, 1, ... of the times, (curves, times + 1); with `grouped` also
        `within`, how many rows left without an event within the interval before each time, (curves, times).
    """
    by = [settings.by] if settings.by else []
    rows = table.complete([settings.time, settings.event, *column_names(by)], settings.missing)
    codes = rows.codes(settings.by) if settings.by else np.zeros(len(rows), np.int64)
    leave, event, within = places(rows, settings)
    number = len(settings.grid)
    survival = {
        "events": _counts((settings.curves, number), codes, event),
        "leaving": _counts((settings.curves, number + 1), codes, leave),
    }
    if settings.grouped:
        survival["within"] = _counts((settings.curves, number), codes, within)
    return len(rows), {"survival": survival}


def _counts(shape: tuple[int, int], codes: Counts, place: Counts) -> Counts:
    """Numbers of rows by category and place, without those whose place is -1."""
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (codes[place >= 0], place[place >= 0]), 1)
    return counts


def at_risk(survival: Mapping[str, Any]) -> Counts | Floats:
    """Rows at risk at each time, shape (curves, times), from the counts of `local_counts`.

    Raises:
        WorkflowError: No row is at risk at any of the times.
    """
    leaving = survival["leaving"]
    counts = np.asarray(leaving[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])
    found = counts + survival["within"] / 2 if "within" in survival else counts
    if not found.any():
        raise WorkflowError(
            "no row of any site is at risk at the times of the plan",
            mend="Check `times` or `horizon`, and whether `missing: leave_out` has left out all rows.",
        )
    return found


def survival_shapes(settings: CurveSettings) -> dict[str, object]:
    """The group `survival` as a plan declares it."""
    number = len(settings.grid)
    shapes: dict[str, object] = {
        "events": {"int64": [settings.curves, number]},
        "leaving": {"int64": [settings.curves, number + 1]},
    }
    if settings.grouped:
        shapes["within"] = {"int64": [settings.curves, number]}
    return shapes
