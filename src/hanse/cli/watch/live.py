"""A run as people watch it: lines for what happened, and on a terminal below them what is under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from hanse.cli.output import printable, say
from hanse.cli.watch.pace import Pace, about
from hanse.control.timeline import Timeline, figure, in_order
from hanse.core.run.events import Event
from hanse.core.values.update import given
from hanse.core.values.wording import and_more, format_time
from hanse.wire.wording import format_cell, format_start, format_waits

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from hanse.wire.messages.runs import AwaitedSite, RunStatus

MOST_ROWS = 20
"""Sites in the table on a terminal; those that are waited for come first."""


class View:
    """Shows a run while it goes on; a context, at whose end only the lines are left.

    Args:
        shown: Whether to; else its history is all that is kept.
        in_turn: Whether sites work one after another, as in a simulation.
    """

    def __init__(self, *, shown: bool = True, in_turn: bool = False) -> None:
        self._shown = shown
        self._clock = _Clock(Pace(in_turn=in_turn))
        self._story = Timeline()
        self._awaited: Mapping[str, AwaitedSite] = {}
        self._waits: list[str] = []
        self._start = ""
        self._cells: list[str] = []
        self._told = False
        self._reminder = ""
        self._live: Live | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The committed rounds, as JSON: number, means, and the figures of each site."""
        return self._story.history

    def __enter__(self) -> Self:
        if self._shown and sys.stdout.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(markup=False, highlight=False, emoji=False)
            if not console.is_dumb_terminal:
                self._live = Live(console=console, transient=True, refresh_per_second=8)
                self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, line: str) -> None:
        """Show a line."""
        if self._shown:
            say(line)

    def event(self, event: Event, *, silent: bool = False, time_ms: int | None = None) -> None:
        """Show what happened, at that time; in the picture only, where `silent`."""
        self._told = True
        self._clock.take(event, time_ms)
        for line in self._story.lines_for(event):
            if not silent:
                self.tell(line)
        self._draw()

    def status(self, status: RunStatus) -> None:
        """Take in whom the run waits for."""
        self._awaited = {awaited.site: awaited for awaited in status.awaited}
        self._waits = format_waits(status)
        self._cells = [format_cell(cell) for cell in status.cells]
        self._start = "" if status.start is None else f"waits for {format_start(status.start)}"
        self._draw()

    def remind(self) -> None:
        """Say whom the run waits for, where nothing was told since the last time and no picture shows it."""
        told, self._told = self._told, False
        if told or self._live is not None or not self._shown:
            return
        line = "; ".join(and_more(self._waits, MOST_ROWS))
        if line and line != self._reminder:
            self._reminder = line
            say(f"waiting for {line}")

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._picture())

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table

        story = self._story
        self._clock.rounds = story.rounds
        columns = in_order(name for metrics in story.metrics.values() for name in metrics)
        table = Table("site", "", "waited for (UTC)", *columns, box=None, header_style="dim")
        sites = sorted(story.doing.keys() | self._awaited, key=lambda site: (site not in self._awaited, site))
        for site in sites[:MOST_ROWS]:
            awaited = self._awaited.get(site)
            figures = given(story.metrics.get(site, {}))
            table.add_row(
                printable(site),
                printable(story.doing.get(site, "")),
                "" if awaited is None else _times(awaited),
                *(figure(figures[name]) if name in figures else "" for name in columns),
            )
        start = [printable(self._start)] if self._start else []
        cells = [printable(f"cell {line}") for line in and_more(self._cells, MOST_ROWS)]
        return Group(self._clock, *start, table, *and_more(sites, MOST_ROWS)[MOST_ROWS:], *cells)


class _Clock:
    """The line with the bar, made each time it is drawn: time passes where nothing happens.

    A thread of its own draws it.

    Args:
        pace: Takes in all events.
    """

    def __init__(self, pace: Pace) -> None:
        self.rounds = 0
        self._pace = pace
        self._ahead_s: float | None = None
        """Seconds by which the run's clock is ahead of this machine's: no event comes before it happened."""

    def take(self, event: Event, time_ms: int | None) -> None:
        """Take in an event, of a run with a clock of its own where a time is given."""
        now_s = time.time()
        if time_ms is not None:
            ahead_s = time_ms / 1000 - now_s
            self._ahead_s = ahead_s if self._ahead_s is None else max(ahead_s, self._ahead_s)
            now_s = time_ms / 1000
        self._pace.take(event, now_s)

    def __rich__(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        now_s = time.time() + (self._ahead_s or 0.0)
        left_s = self._pace.left_s(now_s)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            f"round {self._pace.round}/{self.rounds}",
            ProgressBar(total=max(self.rounds, 1), completed=self._pace.done(now_s), width=40),
            printable(self._pace.describe()),
            "" if left_s is None else f"{about(left_s)} left",
        )
        return bar


def _times(awaited: AwaitedSite) -> str:
    """Since when and until when a site is waited for, in few characters."""
    begin, end = format_time(awaited.since_ms), format_time(awaited.deadline_ms)
    same_day = begin[:10] == end[:10]
    if awaited.evidence:
        return f"waits for evidence: {awaited.evidence}"
    away = "" if awaited.connected else ", not connected"
    if not awaited.needed:
        return f"no longer, silent since {begin[11:19]}{away}"
    return f"{begin[11:19]} until {end[11:19] if same_day else end[:16]}{away}"
