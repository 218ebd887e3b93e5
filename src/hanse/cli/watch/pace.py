"""Pace of a run: how far the open round is, and about how long the rest takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import fmean

from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    SiteIdle,
    TaskFailed,
    UpdateAccepted,
)
from hanse.core.run.run_events import RunResumed, RunStarted, RunSubmitted

_RECENT = 5
"""Rounds whose mean duration is that of the next ones."""
_AT_MOST = 0.95
"""Most of a round that counts as done before it is."""


@dataclass(slots=True)
class _Exchange:
    """An exchange of the open round.

    Attributes:
        task: Its task.
        asked: Sites that were asked.
        ended: Sites that have answered, failed or fallen silent.
        closed: Whether it has closed.
    """

    task: str
    asked: int
    ended: set[str] = field(default_factory=set)
    closed: bool = False

    @property
    def part(self) -> float:
        """Part that is done, from 0 to 1."""
        return 1.0 if self.closed else len(self.ended) / max(self.asked, 1)


class Pace:
    """Follows a run by its events and their times; may be read by another thread meanwhile.

    Args:
        in_turn: Whether sites work one after another, so that the first answers already say how long a
            round takes.
    """

    def __init__(self, *, in_turn: bool = False) -> None:
        self.round = 0
        self._in_turn = in_turn
        self._rounds = 0
        self._committed = 0
        self._tasks = 1
        self._begin_s: float | None = None
        self._answer_s = 0.0
        self._durations: deque[float] = deque(maxlen=_RECENT)
        self._exchanges: dict[int, _Exchange] = {}

    def take(self, event: Event, now_s: float) -> None:
        """Take in an event, and when it happened, in seconds."""
        match event:
            case RunSubmitted():
                self._rounds = event.manifest.plan.rounds
                self._tasks = max(len(event.manifest.plan.tasks), 1)
            case RunStarted() | RunResumed():
                self._begin_s = now_s
            case ExchangeOpened():
                self.round = max(event.round_number, self._committed + 1 if event.index < 0 else 0)
                self._begin_s = now_s if self._begin_s is None else self._begin_s
                self._exchanges[event.exchange] = _Exchange(event.task, len(event.cohort))
            case UpdateAccepted() | TaskFailed() | SiteIdle():
                if event.exchange in self._exchanges:
                    self._exchanges[event.exchange].ended.add(event.site)
                    self._answer_s = now_s
            case ExchangeClosed():
                if event.exchange in self._exchanges:
                    self._exchanges[event.exchange].closed = True
            case RoundCommitted():
                self._commit(event, now_s)
            case _:
                pass

    def _commit(self, event: RoundCommitted, now_s: float) -> None:
        if event.round_number and self._begin_s is not None:
            self._durations.append(max(now_s - self._begin_s, 0.0))
            self._tasks = len(self._exchanges) or self._tasks
        self._begin_s, self._committed = now_s, event.round_number
        self._exchanges = {}

    def done(self, now_s: float) -> float:
        """Rounds that are done, with a part of the open one."""
        return self._committed + self._part(now_s)

    def describe(self) -> str:
        """Describe the open round in a few words: `train: 2 of 5 sites`."""
        running = [exchange for exchange in list(self._exchanges.values()) if not exchange.closed]
        return "; ".join(f"{at.task}: {len(at.ended)} of {at.asked} sites" for at in running[:2])

    def left_s(self, now_s: float) -> float | None:
        """About how many seconds the run still takes; None where nothing says so yet."""
        mean_s = self._mean_s()
        if mean_s is None:
            return None
        return max(mean_s * (self._rounds - self._committed - self._part(now_s)), 0.0)

    def _mean_s(self) -> float | None:
        """Seconds of a round; None where nothing says so yet."""
        if self._durations:
            return fmean(tuple(self._durations))
        counted = self._counted()
        if not self._in_turn or not counted or self._begin_s is None:
            return None
        return (self._answer_s - self._begin_s) / counted

    def _counted(self) -> float:
        """Part of the open round by the sites that have ended their tasks."""
        exchanges = list(self._exchanges.values())
        parts = sum(exchange.part for exchange in exchanges)
        return min(parts / max(self._tasks, len(exchanges)), _AT_MOST)

    def _part(self, now_s: float) -> float:
        """Part of the open round, by the sites that have ended their tasks and by the time that passed."""
        counted, mean_s = self._counted(), self._mean_s()
        if not mean_s or self._begin_s is None or not self._exchanges:
            return counted
        return min(max(counted, (now_s - self._begin_s) / mean_s), _AT_MOST)


def about(seconds: float) -> str:
    """A duration in a few characters: `about 40 s`, `about 12 min`, `about 3.5 h`."""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    if seconds < 36 * 3600:
        return f"about {seconds / 3600:.1f} h"
    return f"about {round(seconds / 86400)} days"
