"""A masked sum as an operator sees it: each cell, whom it waits for, and why an attempt could not end."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.core.run.masked_runs import MaskedDriver, take_ready
from tests.unit.core.run.runs import MODEL, NEXT_MODEL

from hanse.aggregator.run.status import status_of
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import Masked
from hanse.core.run.lifecycle import Leave
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened
from hanse.core.run.run import Phase
from hanse.core.run.sum_rules.unasked import unasked_cells
from hanse.core.run.tasks import FailTask
from hanse.core.run.timing import Tick
from hanse.core.values.sorted_map import SortedMap
from hanse.wire.messages.runs import ExchangeAttendance, RunStatus
from hanse.wire.wording import format_absent, format_cell, format_waits


def status(driver: MaskedDriver) -> RunStatus:
    return status_of(driver.state, 1, {}, driver.now_ms)


def cells(driver: MaskedDriver) -> list[str]:
    return [format_cell(cell) for cell in status(driver).cells]


def test_a_cell_says_whom_it_waits_for_and_for_what() -> None:
    driver = MaskedDriver()
    driver.ready("abcd")
    driver.masked("a")

    assert cells(driver) == [
        "north (round 1, train): waits for the masked vector of b and c",
        "south (round 1, train): waits for the READY of e and f",
    ]


def test_a_further_attempt_says_why_the_one_before_could_not_end() -> None:
    driver = MaskedDriver()
    driver.complete("def")
    driver.ready("abc")
    driver.do(take_ready("b", 2, "b lost its key"))

    assert cells(driver) == [
        "north (round 1, train): waits for the READY of a and c; attempt 2, since b lost its key",
        "south (round 1, train): complete",
    ]


def test_a_cell_that_is_left_out_says_why_after_the_close_too() -> None:
    driver = MaskedDriver("leave_out")
    driver.do(FailTask(1, "a", "no memory"))
    why = "it lacks 1 member: a: no memory"
    assert cells(driver)[1] == f"north (round 1, train): left out, {why}"

    driver.complete("def")

    closed = status(driver).attendance[0]
    assert (closed.masked, closed.left_out) == (True, {"north": why})
    assert format_absent(closed) == (
        "round 1, train: a (failed), b (its cell north lacks a) and c (its cell north lacks a) are not in "
        f"it; cell north left out: {why}"
    )


def test_a_cell_that_is_not_asked_is_named_with_why() -> None:
    driver = MaskedDriver("leave_out")
    driver.complete("abcdef")
    driver.record("north")
    driver.record("south")
    driver.do(RecordAggregate(1, tuple("abcdef"), 600, "5" * 64))
    driver.do(Commit(1, NEXT_MODEL))
    driver.do(Leave("f", "removed"))
    driver.do(OpenRound(2))
    driver.do(OpenExchange(2, 0, "train", NEXT_MODEL))
    why = "not asked, since f has left; without it d and e are not asked either"

    assert cells(driver) == [
        "north (round 2, train): waits for the READY of a, b and c",
        f"south (round 2, train): {why}",
    ]

    driver.do(FailTask(2, "a", "no memory"))
    assert driver.state.phase is Phase.FAILED


def test_a_closed_exchange_says_which_cells_were_not_asked() -> None:
    driver = MaskedDriver("leave_out")
    closed = ExchangeClosed(exchange=1, cause="all", answered=tuple("abc"), failed=(), missing=())
    exchange = Exchange.opened(
        ExchangeOpened(
            exchange=1,
            round_number=1,
            index=0,
            task="train",
            model=MODEL,
            cohort=tuple("abc"),
            needed=3,
            members={"north": tuple("abc")},
        ),
        Masked("leave_out"),
        (),
        0,
    )
    run = replace(driver.state, refusals=SortedMap({"f": "no"}))

    attendance = run.attendance.closed_with(exchange, closed, unasked_cells(run, exchange))

    assert format_absent(ExchangeAttendance.of(attendance.closed[1])).endswith(
        "cell south not asked, since f refused the plan; without it d and e are not asked either"
    )


def test_a_member_that_waits_for_others_is_not_waited_for() -> None:
    driver = MaskedDriver()
    driver.complete("def")
    driver.ready("ab")

    assert [wait.split(" since")[0] for wait in format_waits(status(driver))] == ["c (train, asked"]


def test_a_silent_member_is_said_to_be_waited_for_until_the_deadline() -> None:
    driver = MaskedDriver()
    driver.complete("def")
    driver.ready("ab")
    driver.do(Tick(), after_s=40)

    assert (
        "its cell north has no sum without it: waited for until 1970-01-01 00:01:40Z"
        in format_waits(status(driver))[0]
    )
