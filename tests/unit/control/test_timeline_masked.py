"""Lines about masked sums."""

from __future__ import annotations

from tests.unit.core.run.masked_runs import MaskedDriver, take_ready

from hanse.control.timeline import Timeline
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted
from hanse.core.run.run_events import RunStarted
from hanse.core.run.site_events import SiteReinstated, SiteSuspended
from hanse.core.run.sums.events import SumOpened
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

    timeline = Timeline()
    told = [line for event, _ in driver.history for line in timeline.lines_for(event)]

    assert told[-2:] == [
        "round 1, train: a failed: no memory",
        "round 1, train: cell north (a, b and c) is left out: it lacks 1 member: a: no memory",
    ]


def test_a_cell_that_is_not_asked_is_shown_once_with_whom_it_lacks_and_again_once_it_is() -> None:
    driver, timeline = MaskedDriver("leave_out"), Timeline()
    for event, _ in driver.history:
        timeline.lines_for(event)
    opened = next(event for event, _ in driver.history if isinstance(event, ExchangeOpened))
    north = opened.model_copy(update={"members": {"north": ("a", "b", "c")}})

    timeline.lines_for(SiteSuspended(site="f", round_number=1, reason="it failed"))
    told = [timeline.lines_for(north) for _ in range(2)]
    timeline.lines_for(SiteReinstated(site="f", reason="its rest is over"))

    assert told == [
        [
            "round 1, train: cell south is not asked, since f is suspended; without it d and e are not "
            "asked either"
        ],
        [],
    ]
    assert timeline.lines_for(north) == [], "it is as it was, and only the draw passes over it"
    assert timeline.lines_for(opened) == ["round 1, train: cell south is asked again"]


def test_a_cell_with_a_member_that_never_came_is_shown() -> None:
    driver, timeline = MaskedDriver("leave_out"), Timeline()
    opened = next(event for event, _ in driver.history if isinstance(event, ExchangeOpened))
    timeline.lines_for(driver.history[0][0])
    timeline.lines_for(RunStarted(population=tuple("abcde")))

    told = timeline.lines_for(opened.model_copy(update={"members": {"north": ("a", "b", "c")}}))

    assert told[0].startswith("round 1, train: cell south is not asked, since f has not accepted the plan")


def test_a_silent_member_keeps_its_cell_waiting() -> None:
    driver = MaskedDriver()
    driver.complete("def")
    driver.ready("ab")
    driver.do(Tick(), after_s=40)

    assert lines(driver)[-1].endswith("its cell has no sum without it, and waits for it until the deadline")


def opened(clipped: int) -> SumOpened:
    masked = dict.fromkeys("abc", "5" * 64)
    return SumOpened(
        exchange=1,
        cell="north",
        attempt=1,
        rho="0" * 64,
        masked=masked,
        sum="6" * 64,
        clipped=clipped,
        out_of_range=0,
    )


def test_the_history_has_how_many_sites_of_each_cell_cut_numbers() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")
    timeline = Timeline()
    for event, _ in driver.history:
        timeline.lines_for(event)
    timeline.lines_for(opened(2))
    timeline.lines_for(RoundCommitted(round_number=1, model=None, metrics={}))

    sums = timeline.history[0]["exchanges"][0]["sums"]
    assert sums == {"north": {"sites": 3, "num_examples": None, "clipped": 2, "out_of_range": 0}}


def test_the_number_of_clipped_updates_is_told_when_it_changes() -> None:
    driver, timeline = MaskedDriver(), Timeline()
    for event, _ in driver.history:
        timeline.lines_for(event)

    told = [timeline.lines_for(opened(clipped)) for clipped in (0, 2, 2, 3)]

    assert told[0] == told[2] == []
    assert told[1] == [
        "round 1, train: at 2 of 3 sites of cell north the update was clipped to the plan's bound; at 0 "
        "another number was cut to its range"
    ]
    assert told[3][0].startswith("round 1, train: at 3 of 3 sites")
