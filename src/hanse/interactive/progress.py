"""Progress of a simulation: a bar on a terminal, a line in a notebook, nothing in a pipe."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from html import escape
from typing import Any, Protocol, Self

from hanse.cli.watch.live import View
from hanse.cli.watch.pace import Pace, about
from hanse.control.timeline import figure, in_order
from hanse.core.run.events import Event
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run_events import RunFinished, RunSubmitted

_APART_S = 0.2
"""Least time between two pictures in a notebook, each of which is a message to a browser."""


class Progress(Protocol):
    """Shows how far a run is; a context."""

    def take(self, event: Event) -> None:
        """Take in an event."""
        ...


def shown_progress(*, in_turn: bool, wanted: bool = True) -> AbstractContextManager[Progress]:
    """Choose by where the output goes.

    Args:
        in_turn: Whether sites work one after another, as in a simulation.
        wanted: Whether to show anything.
    """
    if not wanted:
        return nullcontext(_Quiet())
    if display := _notebook():
        return NotebookLine(display, in_turn=in_turn)
    return _Bar(in_turn=in_turn) if sys.stdout.isatty() else nullcontext(_Quiet())


class _Quiet:
    def take(self, event: Event) -> None:
        """Show nothing."""


class _Bar:
    """The bar and the table of `hanse simulate`, without its lines."""

    def __init__(self, *, in_turn: bool) -> None:
        self._view = View(in_turn=in_turn)

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._view.__exit__(*error)

    def take(self, event: Event) -> None:
        self._view.event(event, silent=True)


class NotebookLine:
    """A line below a cell, with a bar, that stays as it is when the run has ended.

    Args:
        display: IPython's function of that name.
        in_turn: Whether sites work one after another.
        clock: Seconds.
    """

    def __init__(
        self,
        display: Callable[..., Any],
        *,
        in_turn: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._display = display
        self._clock = clock
        self._pace = Pace(in_turn=in_turn)
        self._rounds = 0
        self._metrics = ""
        self._last_s = -math.inf
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._handle = self._display(_Line("starting", 0.0), display_id=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        done = self._pace.round if kind is None else int(self._pace.done(self._clock()))
        most = "at most " if kind is None and done < self._rounds else ""  # a workflow that had converged
        end = "" if kind is None else "ended early: "
        told = f"{end}{done} of {most}{self._rounds} rounds"
        self._handle.update(self._line(told, self._rounds if kind is None else done))

    def take(self, event: Event) -> None:
        """Take in an event, and show where the run is."""
        now_s = self._clock()
        self._pace.take(event, now_s)
        if isinstance(event, RunSubmitted):
            self._rounds = event.manifest.plan.rounds
        if isinstance(event, RoundCommitted):
            means = (f"{name} {figure(event.metrics[name])}" for name in in_order(event.metrics))
            self._metrics = ", ".join(means)
        if now_s - self._last_s < _APART_S or isinstance(event, RunFinished):
            return
        self._last_s = now_s
        left_s = self._pace.left_s(now_s)
        left = "" if left_s is None else f"{about(left_s)} left"
        at = f"round {self._pace.round} of {self._rounds}"
        told = ", ".join(filter(None, [at, self._pace.describe(), left]))
        self._handle.update(self._line(told, self._pace.done(now_s)))

    def _line(self, text: str, done: float) -> _Line:
        return _Line("; ".join(filter(None, [text, self._metrics])), done / max(self._rounds, 1))


class _Line:
    """A bar and a text, as HTML and plain."""

    def __init__(self, text: str, part: float) -> None:
        self._text, self._part = text, part

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self._part:.3f}" max="1" style="width: 16em"></progress>'
        return f"<div>{bar} {escape(self._text)}</div>"


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display` where this is a notebook; else None."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return display
