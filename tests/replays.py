"""Runs made again from their events."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.core.run.events import Event
from hanse.core.run.evolve import evolve
from hanse.core.run.run import Run


def replay(events: Iterable[tuple[Event, int]]) -> Run | None:
    """Fold events with their times (milliseconds since 1970) into a run; None where there are none."""
    run = None
    for event, time_ms in events:
        run = evolve(run, event, time_ms)
    return run
