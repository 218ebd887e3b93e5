"""A run on top of a journal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, submit

from hanse.core.journal.chain import Entry, Record, Times, check_chain
from hanse.core.run.lifecycle import AnswerPlan, Finish, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.run import Phase
from hanse.core.run.tasks import AcceptResult
from hanse.core.run.timing import Tick
from hanse.errors import RunError, StorageError, TamperedError
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journaled_run import JournaledRun, Outcome

RUN = "demo-1"


def started(journal: MemoryJournal) -> JournaledRun:
    """A run of the sites a and b with its first model."""
    journaled_run = JournaledRun(journal, RUN)
    for command in (
        submit("ab"),
        AnswerPlan("a", True),
        AnswerPlan("b", True),
        OpenRound(0),
        Commit(0, MODEL),
    ):
        journaled_run.execute(command, 1_000)
    return journaled_run


class Full(MemoryJournal):
    """A journal whose disk can be full."""

    full = False

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        if self.full:
            raise StorageError("the disk is full")
        return super().append(stream, entries, time_ms=time_ms)


def test_a_run_read_back_is_the_run() -> None:
    journal = MemoryJournal()
    journaled_run = started(journal)

    again = JournaledRun(journal, RUN)

    assert (again.run, again.events) == (journaled_run.run, journaled_run.events)


def test_what_follows_of_itself_is_written_with_its_cause() -> None:
    journal = MemoryJournal()

    started(journal)

    kinds = [record.kind for record in journal.read(RUN)]
    assert kinds[:4] == ["RunSubmitted", "PlanAnswered", "PlanAnswered", "RunStarted"]
    check_chain(journal.read(RUN))


def test_a_command_that_changes_nothing_leaves_no_trace() -> None:
    journal = MemoryJournal()
    journaled_run = started(journal)
    records = journal.read(RUN)

    assert journaled_run.execute(Tick(), 2_000) == ()

    assert journal.read(RUN) == records
    assert journaled_run.events == len(records)


def test_a_refused_command_leaves_no_trace() -> None:
    journal = MemoryJournal()
    journaled_run = started(journal)
    records = journal.read(RUN)

    with pytest.raises(RunError):
        journaled_run.execute(AcceptResult(7, "a", 1, {}, None), 2_000)

    assert journal.read(RUN) == records


def test_what_cannot_be_written_has_not_happened() -> None:
    journal = Full()
    journaled_run = started(journal)
    before = journaled_run.run
    journal.full = True

    with pytest.raises(StorageError, match="full"):
        journaled_run.execute(Stop("operator"), 2_000)

    assert journaled_run.run is before
    journal.full = False
    assert journaled_run.execute(Stop("operator"), 3_000)
    assert journaled_run.run.phase is Phase.STOPPED


def test_time_goes_on_where_the_clock_goes_back() -> None:
    journal = MemoryJournal()
    journaled_run = started(journal)
    for command in (OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
        journaled_run.execute(command, 500)

    times = [record.time_ms for record in journal.read(RUN)]

    assert times == sorted(times)
    assert times[-1] > times[-2] > 1_000


def test_two_answers_within_a_millisecond_have_an_order() -> None:
    journaled_run = started(MemoryJournal())
    journaled_run.execute(OpenRound(1), 2_000)
    journaled_run.execute(OpenExchange(1, 0, "train", MODEL), 2_000)

    for site in "ba":
        journaled_run.execute(AcceptResult(1, site, 1, {}, UPDATE), 2_000)

    members = journaled_run.run.exchanges[1].members
    assert members["b"].since_ms < members["a"].since_ms


def test_time_goes_on_after_a_restart_too() -> None:
    journal = MemoryJournal()
    started(journal)

    JournaledRun(journal, RUN).execute(Stop("operator"), 0)

    assert journal.read(RUN)[-1].time_ms > journal.read(RUN)[-2].time_ms


def test_before_is_the_run_that_the_last_commit_superseded_also_when_read_back() -> None:
    journal = MemoryJournal()
    journaled_run = started(journal)
    journaled_run.execute(OpenRound(1), 2_000)
    open_round = journaled_run.run

    journaled_run.execute(Commit(1, NEXT_MODEL), 3_000)

    assert journaled_run.before_last_commit == JournaledRun(journal, RUN).before_last_commit == open_round


def test_before_is_the_run_at_its_end_once_it_has_finished() -> None:
    journaled_run = started(MemoryJournal())
    running = journaled_run.run

    journaled_run.execute(Finish(), 2_000)

    assert journaled_run.before_last_commit == running


def test_nothing_is_known_of_a_run_that_was_never_submitted() -> None:
    with pytest.raises(RunError, match="no run demo-1"):
        _ = JournaledRun(MemoryJournal(), RUN).run


@pytest.mark.parametrize(
    "entry",
    [
        ("CoffeeMade", {}),
        ("TaskStarted", {"exchange": 99, "site": "a"}),
        ("TaskStarted", {"exchange": "first", "site": "a"}),
        ("RunStarted", {"population": ["a"]}),
    ],
    ids=["of a later version", "of no exchange", "malformed", "out of place"],
)
def test_a_journal_that_no_run_of_ours_wrote_is_not_believed(entry: Entry) -> None:
    journal = MemoryJournal()
    started(journal)
    journal.append(RUN, [entry], time_ms=2_000)

    with pytest.raises(TamperedError):
        JournaledRun(journal, RUN)


class TestSeveralCommandsAtOnce:
    def training(self, journal: MemoryJournal) -> JournaledRun:
        """A run whose sites a and b are asked to train."""
        journaled_run = started(journal)
        journaled_run.execute_all([OpenRound(1), OpenExchange(1, 0, "train", MODEL)], 2_000)
        return journaled_run

    def test_each_is_decided_on_the_run_as_the_one_before_left_it(self) -> None:
        journaled_run = self.training(MemoryJournal())

        result = AcceptResult(1, "a", 1, {}, UPDATE)
        first, again, other = journaled_run.execute_all(
            [result, result, AcceptResult(1, "b", 2, {}, UPDATE)], 3_000
        )

        assert (kinds(first), kinds(again)) == (["UpdateAccepted"], [])
        assert kinds(other) == ["UpdateAccepted", "ExchangeClosed"]

    def test_they_come_to_the_same_as_one_after_another(self) -> None:
        together, apart = MemoryJournal(), MemoryJournal()
        commands = [
            OpenRound(1),
            OpenExchange(1, 0, "train", MODEL),
            AcceptResult(1, "b", 1, {}, UPDATE),
            AcceptResult(1, "a", 1, {}, UPDATE),
            Commit(1, NEXT_MODEL),
            Finish(),
        ]

        at_once = started(together)
        at_once.execute_all(commands, 2_000)
        one_by_one = started(apart)
        for command in commands:
            one_by_one.execute(command, 2_000)

        assert together.read(RUN) == apart.read(RUN)
        assert (at_once.run, at_once.before_last_commit, at_once.events) == (
            one_by_one.run,
            one_by_one.before_last_commit,
            one_by_one.events,
        )

    def test_an_error_in_one_is_that_one_s_alone(self) -> None:
        journal = MemoryJournal()
        journaled_run = self.training(journal)
        unwritable = AcceptResult(1, "b", 1, {"loss": float("nan")}, UPDATE)

        outcomes = journaled_run.execute_all(
            [AcceptResult(9, "a", 1, {}, None), unwritable, AcceptResult(1, "a", 1, {}, UPDATE)], 3_000
        )

        assert isinstance(outcomes[0], RunError)
        assert isinstance(outcomes[1], ValueError)
        assert journaled_run.run.exchanges[1].answered == ("a",)
        assert JournaledRun(journal, RUN).run == journaled_run.run

    def test_what_cannot_be_written_has_not_happened_for_any_of_them(self) -> None:
        journal = Full()
        journaled_run = self.training(journal)
        before = journaled_run.run
        journal.full = True

        with pytest.raises(StorageError, match="full"):
            journaled_run.execute_all([AcceptResult(1, site, 1, {}, UPDATE) for site in "ab"], 3_000)

        assert journaled_run.run is before


def kinds(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, tuple)
    return [event.kind for event in outcome]
