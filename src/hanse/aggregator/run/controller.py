"""One run at the aggregator: its journal, its clock, and the tasks that wait for its changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from hanse.aggregator.run.alarm import Alarm
from hanse.aggregator.run.site_work import sites_to_wake
from hanse.concurrency import Signals
from hanse.core.journal.chain import ChainHead
from hanse.core.run.decide import Command
from hanse.core.run.events import Event
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import ExchangeClosed
from hanse.core.run.run import Phase, Run
from hanse.core.run.site_events import SiteSuspended, SuspensionWaived
from hanse.core.run.sums.events import CellLeftOut
from hanse.core.run.timing import Tick
from hanse.core.values.wording import in_phase
from hanse.errors import RunError, StorageError
from hanse.storage.journaled_run import JournaledRun
from hanse.wire.messages.runs import ExchangeAttendance
from hanse.wire.wording import format_absent

logger = logging.getLogger(__name__)

_SHORTEST_SLEEP_S = 0.01
_BETWEEN_LOOKS_S = 0.02
"""Shortest time between two looks at the clock."""
_MOST_AT_ONCE = 256
"""Commands that are written down together."""
_STORAGE_PAUSE_S = 1.0
_LONGEST_LINE = 500

_Waiting = asyncio.Future[tuple[Event, ...]]


class RunController:
    """Tells a run what happens, one thing at a time, and wakes those it concerns.

    The only writer of the run's journal. What comes while something is being
    written is written next, all of it at once: making it durable takes as long
    for a hundred commands as for one. All methods belong to the event loop.

    Args:
        journaled_run: The run with its journal.
        signals: As the attribute.
        clock_ms: The time, milliseconds since 1970.
        seen_ms: When each site was last in contact, milliseconds since 1970.

    Attributes:
        signals: Notified with the run's id at every event, and with the name of each site whose
            work may have changed.
    """

    def __init__(
        self,
        journaled_run: JournaledRun,
        signals: Signals,
        clock_ms: Callable[[], int],
        seen_ms: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._journaled_run = journaled_run
        self._clock_ms = clock_ms
        self._seen_ms = seen_ms
        self._told: list[tuple[Command, _Waiting]] = []
        self._writing: asyncio.Task[None] | None = None
        self._progress_ms: dict[tuple[int, str], int] = {}
        self.signals = signals

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self._journaled_run.run

    @property
    def before_last_commit(self) -> Run | None:
        """The run as it stood before it last let go of blobs; see `JournaledRun.before_last_commit`."""
        return self._journaled_run.before_last_commit

    @property
    def head(self) -> ChainHead:
        """The last journal record; those of a finished `execute` are among those before it."""
        return self._journaled_run.head

    @property
    def events(self) -> int:
        """Number of the last journal record."""
        return self._journaled_run.events

    async def execute(self, *commands: Command) -> tuple[Event, ...]:
        """Carry out commands, one after another; their events are durable when this returns.

        A caller who is cancelled does not take back what was begun.

        Raises:
            RunError: One of the commands is not possible now; those after it were tried all the same.
            StorageError: The journal could not be written; nothing changed.
        """
        loop = asyncio.get_running_loop()
        told = [(command, _Waiting(loop=loop)) for command in commands]
        self._told += told
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        # Exceptions come as values, so that none is unretrieved where the caller is cancelled meanwhile.
        outcomes = await asyncio.shield(
            asyncio.gather(*(waiting for _, waiting in told), return_exceptions=True)
        )
        events: list[Event] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            events += outcome
        return tuple(events)

    async def settled(self) -> None:
        """Wait until nothing is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def note_progress(self, exchange: int, site: str) -> bool:
        """Remember that a task is under way; whether the run should hear that the site works."""
        found = self.run.exchanges.get(exchange)
        if found is None or site not in found.members:
            return False
        self._progress_ms[exchange, site] = self._clock_ms()
        return found.members[site].state in (MemberState.ASSIGNED, MemberState.IDLE)

    async def keep_time(self) -> None:
        """Let the run notice deadlines and idle sites, until it is cancelled."""
        alarm = Alarm()
        while True:
            seen = self.events
            known = Tick(self._progress_ms, self._seen_ms)
            wakeup_ms = alarm.next_ms(self.run, known, self._clock_ms())
            left_s = None if wakeup_ms is None else (wakeup_ms - self._clock_ms()) / 1000
            if await self.wait_for_events(seen, left_s):
                await asyncio.sleep(_BETWEEN_LOOKS_S)  # a thousand answers need no thousand looks
                continue
            try:
                await self.execute(self._tick())
            except StorageError as error:  # a full disk, most likely
                logger.error("run %s cannot note the time: %s", self.run.run_id, error)
                await asyncio.sleep(_STORAGE_PAUSE_S)

    async def closed(self, find: Callable[[Run], Exchange]) -> Exchange:
        """Wait until an exchange has closed.

        Raises:
            RunError: The run ended first; its reason.
        """

        def look() -> Exchange | None:
            self.must_run()
            exchange = find(self.run)
            return None if exchange.closed is None else exchange

        closed = await self.signals.until([self.run.run_id], look)
        assert closed is not None  # there is no timeout
        return closed

    async def wait_for_events(self, seen: int, timeout_s: float | None = None) -> bool:
        """Wait until there are records after the one numbered `seen`; whether there are in time."""

        def look() -> bool | None:
            return self.events > seen or None

        if timeout_s is not None:
            timeout_s = max(timeout_s, _SHORTEST_SLEEP_S)
        return bool(await self.signals.until([self.run.run_id], look, timeout_s))

    async def in_phase(self, *phases: Phase, timeout_s: float | None = None) -> Phase | None:
        """Wait until the run is in one of these phases; None where the time was over first."""
        return await self.signals.until(
            [self.run.run_id], lambda: self.run.phase if self.run.phase in phases else None, timeout_s
        )

    def must_run(self) -> None:
        """Raise the reason why the run has ended, if it has."""
        run = self.run
        if run.phase is not Phase.RUNNING:
            raise RunError(f"run {run.run_id} {in_phase(run.phase)}{f': {run.reason}' if run.reason else ''}")

    async def _write(self) -> None:
        """Carry out what the run was told until nothing is left of it."""
        while self._told:
            batch, self._told = self._told[:_MOST_AT_ONCE], self._told[_MOST_AT_ONCE:]
            commands = [command for command, _ in batch]
            try:
                outcomes = await asyncio.to_thread(
                    self._journaled_run.execute_all, commands, self._clock_ms()
                )
            except Exception as error:  # noqa: BLE001  # raised again at each of those who wait
                outcomes = [error] * len(batch)
            events = [event for outcome in outcomes if isinstance(outcome, tuple) for event in outcome]
            if events:
                try:
                    self._announce(events)
                except Exception:  # the events are durable: the callers still get their answers
                    logger.exception("run %s: some of what happened was not announced", self.run.run_id)
            for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    waiting.set_exception(outcome)
                else:
                    waiting.set_result(outcome)

    def _tick(self) -> Tick:
        known = self.run.exchanges.open
        self._progress_ms = {key: time for key, time in self._progress_ms.items() if key[0] in known}
        seen_ms = dict(self._seen_ms) if self.run.phase is Phase.SUBMITTED else {}
        return Tick(dict(self._progress_ms), seen_ms)

    def _announce(self, events: Sequence[Event]) -> None:
        run = self.run
        for event in events:
            logger.info("%s %s", run.run_id, _line(event), extra={"run": run.run_id})
            if isinstance(event, ExchangeClosed):
                for site in (*event.answered, *event.failed, *event.missing):
                    self._progress_ms.pop((event.exchange, site), None)
            if warning := _warning(run, event):
                logger.warning("run %s: %s", run.run_id, warning, extra={"run": run.run_id})
        sites = sites_to_wake(events, self.before_last_commit, run)
        self.signals.notify([run.run_id, *(run.invited if sites is None else sorted(sites))])


def _warning(run: Run, event: Event) -> str:
    """What an operator should know of an event, in words; empty for nothing."""
    match event:
        case ExchangeClosed() if event.data is not None and event.data.too_little:
            found = run.attendance.closed.get(event.exchange)
            return "" if found is None else format_absent(ExchangeAttendance.of(found))
        case CellLeftOut():
            return f"exchange {event.exchange}: cell {event.cell} is left out: {event.reason}"
        case SiteSuspended():
            return f"{event.site} is suspended: {event.reason}; its rest: {run.plan.cohort.rest}"
        case SuspensionWaived():
            return f"{event.site} is asked on: {event.reason}"
        case _:
            return ""


def _line(event: Event) -> str:
    """An event as a line of the log: its name and what is short in it."""
    short = event.model_dump(mode="json", exclude={"kind", "manifest", "statement", "log_tail"})
    told = [f"{name}={value}" for name, value in short.items() if value not in ("", None)]
    return " ".join([event.kind, *told])[:_LONGEST_LINE]
