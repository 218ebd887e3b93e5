"""One run at the aggregator: its ledger, its clock, and whoever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hanse.aggregator.signals import Signals, wait_for
from hanse.aggregator.work import touched
from hanse.core.commands import Command, Tick
from hanse.core.events import Event
from hanse.core.exchange import Exchange, MemberState
from hanse.core.run import Phase, Run
from hanse.core.timing import next_wakeup_ms
from hanse.errors import HanseError, RunError
from hanse.storage.ledger import Ledger

logger = logging.getLogger(__name__)

_SHORTEST_SLEEP_S = 0.01


class RunController:
    """Tells a run what happens, one thing at a time, and wakes those it concerns.

    The only writer of the run's journal. All methods belong to the event loop.

    Attributes:
        signals: Notified with `(run_id,)` at every event and with the name of
            each site whose work may have changed.
    """

    def __init__(self, ledger: Ledger, signals: Signals, clock_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._one_at_a_time = asyncio.Lock()
        self._progress_ms: dict[tuple[int, str], int] = {}
        self.signals = signals

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._ledger.run

    @property
    def events(self) -> int:
        """Number of the last journal record."""
        return self._ledger.events

    async def execute(self, command: Command) -> tuple[Event, ...]:
        """Carry out a command; its events are durable when this returns."""
        async with self._one_at_a_time:
            # A cancelled request must not leave the ledger half-way: the thread finishes what it began.
            writing = asyncio.ensure_future(
                asyncio.to_thread(self._ledger.execute, command, self._clock_ms())
            )
            try:
                events = await asyncio.shield(writing)
            except asyncio.CancelledError:
                self._announce(await writing)
                raise
            self._announce(events)
        return events

    def note_progress(self, exchange: int, site: str) -> bool:
        """Remember that a task is under way; whether the run should hear that the site is back."""
        found = self.run.exchanges.get(exchange)
        if found is None or site not in found.members:
            return False
        self._progress_ms[exchange, site] = self._clock_ms()
        return found.members[site].state in (MemberState.ASSIGNED, MemberState.IDLE)

    async def keep_time(self) -> None:
        """Let the run notice deadlines and idle sites, until it is cancelled."""
        while True:
            async with self.signals.watching(self.run.run_id) as changed:
                known = {e.number for e in self.run.open_exchanges()}
                self._progress_ms = {k: v for k, v in self._progress_ms.items() if k[0] in known}
                tick = Tick(dict(self._progress_ms))
                wakeup = next_wakeup_ms(self.run, tick)
                left_s = 3600.0 if wakeup is None else (wakeup - self._clock_ms()) / 1000
                if await wait_for(changed, max(left_s, _SHORTEST_SLEEP_S)) or wakeup is None:
                    continue
            try:
                await self.execute(Tick(dict(self._progress_ms)))
            except HanseError as error:
                # A full disk, most likely: the next tick tries again.
                logger.error("run %s cannot note the time: %s", self.run.run_id, error)
                await asyncio.sleep(1.0)

    async def closed(self, find: Callable[[Run], Exchange]) -> Exchange:
        """Wait until an exchange has closed.

        Raises:
            HanseError: The run ended first; its reason.
        """
        while True:
            async with self.signals.watching(self.run.run_id) as changed:
                self.must_run()
                exchange = find(self.run)
                if exchange.closed is not None:
                    return exchange
                await changed.wait()

    def must_run(self) -> None:
        """Raise the reason why the run has ended, if it has."""
        run = self.run
        if run.phase is not Phase.RUNNING:
            raise RunError(f"run {run.run_id} is {run.phase}{f': {run.reason}' if run.reason else ''}")

    def _announce(self, events: tuple[Event, ...]) -> None:
        if not events:
            return
        for event in events:
            logger.info("%s %s", self.run.run_id, _line(event), extra={"run": self.run.run_id})
        sites = touched(events)
        self.signals.notify([self.run.run_id, *(self.run.invited if sites is None else sites)])


def _line(event: Event) -> str:
    """An event as a line of the log: its name and what is short in it."""
    short = event.model_dump(mode="json", exclude={"kind", "manifest", "statement", "log_tail"})
    return f"{event.kind} " + " ".join(
        f"{name}={value}" for name, value in short.items() if value not in ("", None)
    )
