"""One run on top of a journal: commands in, durable events out, the state in memory."""

from __future__ import annotations

from hanse.core.commands import Command
from hanse.core.decide import decide
from hanse.core.events import (
    Event,
    RoundCommitted,
    RunFinished,
    RunResumed,
    RunStarted,
    event_body,
    read_event,
)
from hanse.core.run import Run, evolve
from hanse.errors import RunError, TamperedError
from hanse.storage.base import Journal


class Ledger:
    """Decides, writes down, then applies; what is not in the journal has not happened.

    Not thread-safe: whoever owns a run tells it one thing at a time. What a
    command brings about can be seen from other threads at once or not at all.

    Attributes:
        events: Number of the last record; 0 where there is none.
        before: The run as it stood before its last commit, its end, or its being taken up again; None
            before the first of them. What it referred to, and the run no longer does, has had its use.
    """

    def __init__(self, journal: Journal, run_id: str) -> None:
        self._journal = journal
        self._run_id = run_id
        self._run: Run | None = None
        self._time_ms = 0
        self.events = 0
        self.before: Run | None = None
        for record in journal.read(run_id):
            try:
                event = read_event(record.kind, record.body)
                self._apply((event,), record.time_ms, record.sequence)
            except (ValueError, TamperedError) as error:
                why = (
                    error.message if isinstance(error, TamperedError) else "this version knows no such event"
                )
                raise TamperedError(
                    f"record {record.sequence} of run {run_id}, {record.kind}, cannot be applied: {why}",
                    mend="It was written by a later version, or altered; `hanse audit verify` tells which.",
                ) from error

    @property
    def run(self) -> Run:
        """The run as it stands.

        Raises:
            RunError: Nothing was submitted under this id.
        """
        if self._run is None:
            raise RunError(f"there is no run {self._run_id}")
        return self._run

    def execute(self, command: Command, now_ms: int) -> tuple[Event, ...]:
        """Carry out a command; its events are durable when this returns.

        Args:
            command: What the run is told.
            now_ms: The time, milliseconds since 1970. Where the clock stands still or goes back, the
                journal's time goes on by a millisecond: its order is that of its times.

        Raises:
            RunError: The command is not possible now.
            StorageError: The journal could not be written; nothing changed.
        """
        time_ms = max(now_ms, self._time_ms + 1)
        events = decide(self._run, command, time_ms)
        if events:
            entries = [(event.kind, event_body(event)) for event in events]
            records = self._journal.append(self._run_id, entries, time_ms=time_ms)
            self._apply(events, time_ms, records[-1].sequence)
        return events

    def _apply(self, events: tuple[Event, ...], time_ms: int, sequence: int) -> None:
        run, before = self._run, self.before
        for event in events:
            if isinstance(event, RoundCommitted | RunFinished | RunResumed | RunStarted):
                before = run
            run = evolve(run, event, time_ms)
        self._run, self.before, self.events, self._time_ms = run, before, sequence, time_ms
