"""A run on top of a journal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.core.runs import MODEL, NEXT_MODEL, UPDATE, submit

from hanse.core.chain import Record, check_chain
from hanse.core.commands import AcceptResult, AnswerPlan, Commit, Finish, OpenExchange, OpenRound, Stop, Tick
from hanse.core.run import Phase
from hanse.errors import RunError, StorageError, TamperedError
from hanse.storage.base import Entry
from hanse.storage.ledger import Ledger
from hanse.storage.memory import MemoryJournal

RUN = "demo-1"


def started(journal: MemoryJournal) -> Ledger:
    """A run of the sites a and b with its first model."""
    ledger = Ledger(journal, RUN)
    for command in (
        submit("ab"),
        AnswerPlan("a", True),
        AnswerPlan("b", True),
        OpenRound(0),
        Commit(0, MODEL),
    ):
        ledger.execute(command, 1_000)
    return ledger


class Full(MemoryJournal):
    """A journal whose disk can be full."""

    full = False

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: int) -> tuple[Record, ...]:
        if self.full:
            raise StorageError("the disk is full")
        return super().append(stream, entries, time_ms=time_ms)


def test_a_run_read_back_is_the_run() -> None:
    journal = MemoryJournal()
    ledger = started(journal)

    again = Ledger(journal, RUN)

    assert (again.run, again.events) == (ledger.run, ledger.events)


def test_what_follows_of_itself_is_written_with_its_cause() -> None:
    journal = MemoryJournal()

    started(journal)

    kinds = [record.kind for record in journal.read(RUN)]
    assert kinds[:4] == ["RunSubmitted", "PlanAnswered", "PlanAnswered", "RunStarted"]
    check_chain(journal.read(RUN))


def test_a_command_that_changes_nothing_leaves_no_trace() -> None:
    journal = MemoryJournal()
    ledger = started(journal)
    records = journal.read(RUN)

    assert ledger.execute(Tick(), 2_000) == ()

    assert journal.read(RUN) == records
    assert ledger.events == len(records)


def test_a_refused_command_leaves_no_trace() -> None:
    journal = MemoryJournal()
    ledger = started(journal)
    records = journal.read(RUN)

    with pytest.raises(RunError):
        ledger.execute(AcceptResult(7, "a", 1, {}, None), 2_000)

    assert journal.read(RUN) == records


def test_what_cannot_be_written_has_not_happened() -> None:
    journal = Full()
    ledger = started(journal)
    before = ledger.run
    journal.full = True

    with pytest.raises(StorageError, match="full"):
        ledger.execute(Stop("operator"), 2_000)

    assert ledger.run is before
    journal.full = False
    assert ledger.execute(Stop("operator"), 3_000)
    assert ledger.run.phase is Phase.STOPPED


def test_time_goes_on_where_the_clock_goes_back() -> None:
    journal = MemoryJournal()
    ledger = started(journal)
    for command in (OpenRound(1), OpenExchange(1, 0, "train", MODEL)):
        ledger.execute(command, 500)

    times = [record.time_ms for record in journal.read(RUN)]

    assert times == sorted(times)
    assert times[-1] > times[-2] > 1_000


def test_two_answers_within_a_millisecond_have_an_order() -> None:
    ledger = started(MemoryJournal())
    ledger.execute(OpenRound(1), 2_000)
    ledger.execute(OpenExchange(1, 0, "train", MODEL), 2_000)

    for site in "ba":
        ledger.execute(AcceptResult(1, site, 1, {}, UPDATE), 2_000)

    members = ledger.run.exchanges[1].members
    assert members["b"].since_ms < members["a"].since_ms


def test_time_goes_on_after_a_restart_too() -> None:
    journal = MemoryJournal()
    started(journal)

    Ledger(journal, RUN).execute(Stop("operator"), 0)

    assert journal.read(RUN)[-1].time_ms > journal.read(RUN)[-2].time_ms


def test_before_is_the_run_that_the_last_commit_superseded_also_when_read_back() -> None:
    journal = MemoryJournal()
    ledger = started(journal)
    ledger.execute(OpenRound(1), 2_000)
    open_round = ledger.run

    ledger.execute(Commit(1, NEXT_MODEL), 3_000)

    assert ledger.before == Ledger(journal, RUN).before == open_round


def test_before_is_the_run_at_its_end_once_it_has_finished() -> None:
    ledger = started(MemoryJournal())
    running = ledger.run

    ledger.execute(Finish(), 2_000)

    assert ledger.before == running


def test_nothing_is_known_of_a_run_that_was_never_submitted() -> None:
    with pytest.raises(RunError, match="no run demo-1"):
        _ = Ledger(MemoryJournal(), RUN).run


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
        Ledger(journal, RUN)
