"""One run on top of a journal: commands in, durable events out, the state in memory."""

from __future__ import annotations

from hanse.core.commands import Command
from hanse.core.decide import decide
from hanse.core.events import Event, event_body, read_event
from hanse.core.run import Run, evolve
from hanse.errors import RunError, TamperedError
from hanse.storage.base import Journal


class Ledger:
    """Decides, writes down, then applies; what is not in the journal has not happened.

    Not thread-safe: whoever owns a run tells it one thing at a time.

    Attributes:
        events: Events of the run so far.
    """

    def __init__(self, journal: Journal, run_id: str) -> None:
        self._journal = journal
        self._run_id = run_id
        self._run: Run | None = None
        self.events = 0
        for record in journal.read(run_id):
            try:
                event = read_event(record.kind, record.body)
            except ValueError as error:
                raise TamperedError(
                    f"record {record.sequence} of run {run_id} is no event that this version knows: "
                    f"{record.kind}",
                    mend="It was written by a later version, or altered; `hanse audit verify` tells which.",
                ) from error
            self._run = evolve(self._run, event, record.time_ms)
            self.events = record.sequence

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

        Raises:
            RunError: The command is not possible now.
            StorageError: The journal could not be written; nothing changed.
        """
        events = decide(self._run, command, now_ms)
        if events:
            entries = [(event.kind, event_body(event)) for event in events]
            records = self._journal.append(self._run_id, entries, time_ms=now_ms)
            for event in events:
                self._run = evolve(self._run, event, now_ms)
            self.events = records[-1].sequence
        return events
