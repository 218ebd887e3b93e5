"""Lines about masked sums."""

from __future__ import annotations

from tests.unit.core.run.masked_runs import MaskedDriver, take_ready

from hanse.control.timeline import Timeline
from hanse.core.run.tasks import FailTask
from hanse.core.run.timing import Tick


def lines(driver: MaskedDriver) -> list[str]:
    timeline = Timeline()
    return [line for event, _ in driver.history for line in timeline.lines_for(event)]


def test_a_further_attempt_is_shown_with_its_reason() -> None:
    driver = MaskedDriver()
    driver.ready("a")
    driver.do(take_ready("b", 2, "b had used up attempt 1 already"))

    assert lines(driver)[-1] == (
        "round 1, train: attempt 2 at the sum of cell north, since b had used up attempt 1 already"
    )


def test_a_cell_that_is_left_out_is_shown_and_kept_in_the_history() -> None:
    driver = MaskedDriver("leave_out")
    driver.do(FailTask(1, "a", "no memory"))
    driver.complete("def")

    assert lines(driver)[-2] == (
        "round 1, train: cell north is left out: the cell north lacks 3 members: a: no memory; "
        "no READY of b and c"
    )
    assert lines(driver)[-1].startswith("round 1, train: a (failed), b (failed) and c (failed) are not in it")


def test_a_silent_member_keeps_its_cell_waiting() -> None:
    driver = MaskedDriver()
    driver.complete("def")
    driver.ready("ab")
    driver.do(Tick(), after_s=40)

    assert lines(driver)[-1].endswith("its cell has no sum without it, and waits for it until the deadline")
