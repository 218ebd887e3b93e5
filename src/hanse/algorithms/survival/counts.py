"""Events and rows at risk at given times, which survival curves are made of.

An event at a time that is not among the times counts at the next one. A row is at risk at all times up to
its own, and an event's up to the time at which the event counts. Where the times have every time of an
event, nothing is lost; what comes after the last of them does not count.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.table import Categories, ColumnName, Counts, Floats, Table, TableSettings, column_names
from hanse.core.values.groups import Group


class Periods(TableSettings):
    """Settings that say when events are counted."""

    time: ColumnName = Field(
        description="The column with the time of the event or of the end of observation."
    )
    event: ColumnName = Field(description="The column that is 1 where there was an event, and else 0.")
    times: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        max_length=100_000,
        description="The times at which events are counted, ascending.",
    )
    horizon: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Instead of `times`: 1, 2, ... up to this, for times in whole units.",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if (self.times is None) == (self.horizon is None):
            raise ValueError("say either `times` or `horizon`")
        if self.times is not None and not all(
            a < b for a, b in zip(self.times, self.times[1:], strict=False)
        ):
            raise ValueError("`times` are to be ascending")
        return self

    @property
    def grid(self) -> Floats:
        """The times, shape (times,)."""
        if self.times is not None:
            return np.array(self.times)
        return np.arange(1, (self.horizon or 0) + 1, dtype=np.float64)


class CurveSettings(Periods):
    """Settings of survival curves."""

    by: Categories | None = Field(None, description="A column of categories; one curve for each.")

    @property
    def curves(self) -> int:
        """Number of curves."""
        return len(self.by.categories) if self.by else 1


def places(rows: Table, settings: Periods) -> tuple[Counts, Counts]:
    """Where the rows leave and have their event.

    Returns:
        For each row, at how many of the times it is at risk, from 0 on; and the number of the time at which
        its event counts, -1 without an event.

    Raises:
        TaskError: A column is not there or not of numbers, or an event is neither 0 nor 1.
    """
    time = rows.numbers([settings.time])[:, 0]
    happened = rows.codes(Categories(column=settings.event, categories=(0, 1))) == 1
    grid = settings.grid
    event = np.where(happened, np.searchsorted(grid, time, side="left"), -1)
    event[event == len(grid)] = -1
    at_risk = np.searchsorted(grid, time, side="right")
    return np.where(event >= 0, event + 1, at_risk).astype(np.int64), event.astype(np.int64)


def local_counts(table: Table, settings: CurveSettings) -> tuple[int, dict[str, Group]]:
    """Count the rows of one site.

    Returns:
        The number of rows, and the group `survival`: `events`, shape (curves, times); `leaving`, how many
        rows are at risk at just the first 0, 1, ... of the times, (curves, times + 1).
    """
    by = [settings.by] if settings.by else []
    rows = table.complete([settings.time, settings.event, *column_names(by)], settings.missing)
    codes = rows.codes(settings.by) if settings.by else np.zeros(len(rows), np.int64)
    leave, event = places(rows, settings)
    number = len(settings.grid)
    events = np.zeros((settings.curves, number), np.int64)
    leaving = np.zeros((settings.curves, number + 1), np.int64)
    np.add.at(events, (codes[event >= 0], event[event >= 0]), 1)
    np.add.at(leaving, (codes, leave), 1)
    return len(rows), {"survival": {"events": events, "leaving": leaving}}


def at_risk(leaving: Counts) -> Counts:
    """Rows at risk at each time, shape (curves, times), from the counts of `local_counts`."""
    return np.asarray(leaving[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])


def survival_shapes(settings: CurveSettings) -> dict[str, object]:
    """The group `survival` as a plan declares it."""
    number = len(settings.grid)
    return {
        "events": {"int64": [settings.curves, number]},
        "leaving": {"int64": [settings.curves, number + 1]},
    }
