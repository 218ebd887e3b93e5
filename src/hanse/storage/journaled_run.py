"""One run on top of a journal: commands in, durable events out, the state in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hanse.core.journal.chain import ChainHead, Entry, Record
from hanse.core.run.decide import Command, Step, steps
from hanse.core.run.events import Event, event_body, read_event
from hanse.core.run.evolve import evolve
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run import Run
from hanse.core.run.run_events import RunFinished, RunResumed, RunStarted
from hanse.core.values.canonical import canonical_json
from hanse.errors import RunError, TamperedError
from hanse.storage.base import Journal

Outcome = tuple[Event, ...] | Exception
"""What a command brought about, or why it brought about nothing."""


class JournaledRun:
    """Decides, writes down, then applies; what is not in the journal has not happened.

    Not thread-safe: whoever owns a run tells it one thing at a time. What a
    command brings about can be seen from other threads at once or not at all.

    Args:
        journal: Holds the run's records.
        run_id: The run.
        note: Given each record, those that are there already first.
    """

    def __init__(
        self, journal: Journal, run_id: str, note: Callable[[Record], object] = lambda _: None
    ) -> None:
        self._journal = journal
        self._run_id = run_id
        self._note = note
        self._state = _State()
        for record in journal.read(run_id):
            try:
                event = read_event(record.kind, record.body)
                run = evolve(self._state.run, event, record.time_ms)
                self._state = self._state.after(((event, run),), record.time_ms).at(record)
            except (ValueError, TamperedError) as error:
                why = (
                    error.message if isinstance(error, TamperedError) else "this version knows no such event"
                )
                raise TamperedError(
                    f"record {record.sequence} of run {run_id}, {record.kind}, cannot be applied: {why}",
                    mend="It was written by a later version, or altered; `hanse audit verify` says which.",
                ) from error
            note(record)

    @property
    def run(self) -> Run:
        """The run as it stands.

        Raises:
            RunError: Nothing was submitted under this id.
        """
        if self._state.run is None:
            raise RunError(f"there is no run {self._run_id}")
        return self._state.run

    @property
    def before_last_commit(self) -> Run | None:
        """The run as it stood before its last commit, end, or being taken up again; None before the first.

        What it referred to, and the run no longer does, has had its use.
        """
        return self._state.before

    @property
    def head(self) -> ChainHead:
        """The last record.

        Raises:
            RunError: Nothing was submitted under this id.
        """
        if self._state.head is None:
            raise RunError(f"there is no run {self._run_id}")
        return self._state.head

    @property
    def events(self) -> int:
        """Number of the last record; 0 where there is none."""
        return self._state.events

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
        (outcome,) = self.execute_all([command], now_ms)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def execute_all(self, commands: Sequence[Command], now_ms: int) -> list[Outcome]:
        """Carry out commands, each on the run as the one before it left it, in one append to the journal.

        Args:
            commands: What the run is told, in order.
            now_ms: As for `execute`; each command that changes something has a time of its own.

        Returns:
            What each command brought about, or the error that it, and it alone, ended in.

        Raises:
            StorageError: The journal could not be written; none of the commands changed anything.
        """
        then, outcomes = self._state, list[Outcome]()
        entries: list[Entry] = []
        times: list[int] = []
        for command in commands:
            time_ms = max(now_ms, then.time_ms + 1)
            try:
                done = steps(then.run, command, time_ms)
                events = tuple(event for event, _ in done)
                written = [(event.kind, event_body(event)) for event in events]
                canonical_json([body for _, body in written])  # what cannot be written fails only here
                if done:
                    then = then.after(done, time_ms)
            except Exception as error:  # noqa: BLE001  # raised again where the command came from
                outcomes.append(error)
                continue
            outcomes.append(events)
            entries += written
            times += [time_ms] * len(written)
        if entries:
            added = self._journal.append(self._run_id, entries, time_ms=times)
            self._state = then.at(added[-1])
            for record in added:
                self._note(record)
        return outcomes


@dataclass(frozen=True, slots=True)
class _State:
    """A run at one point of its journal."""

    run: Run | None = None
    before: Run | None = None
    events: int = 0
    time_ms: int = 0
    head: ChainHead | None = None

    def after(self, done: Sequence[Step], time_ms: int) -> _State:
        run, before = self.run, self.before
        for event, then in done:
            if isinstance(event, RoundCommitted | RunFinished | RunResumed | RunStarted):
                before = run
            run = then
        return _State(run, before, self.events + len(done), time_ms, self.head)

    def at(self, record: Record) -> _State:
        """The same state, with the last record that led to it."""
        return replace(self, head=ChainHead.of(record))
