"""A masked sum as an operator sees it: each cell, whom it waits for, and why an attempt could not end."""

from __future__ import annotations

from tests.unit.core.run.masked_runs import MaskedDriver, take_ready

from hanse.aggregator.run.status import status_of
from hanse.core.run.tasks import FailTask
from hanse.core.run.timing import Tick
from hanse.wire.messages.runs import RunStatus
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
