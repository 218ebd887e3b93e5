"""A run that is taken up again, be it without some of its sites."""

from __future__ import annotations

from typing import Any

from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.lifecycle import AnswerPlan, Fail, Invite, Leave, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.run import Phase
from hanse.core.run.tasks import FailTask

RULES = {"deadline": 100, "idle_limit": 30, "approvals": 500}


def asked(sites: str, **rules: Any) -> Driver:
    return Driver(sites, cohort=RULES | rules).asked()


def test_what_nobody_answered_is_asked_again_under_its_number() -> None:
    driver = Driver("a").started()
    driver.do(OpenRound(0))
    driver.do(OpenExchange(0, 0, INITIALISE, None, ("a",)))
    driver.do(FailTask(1, "a", "no data"))
    driver.do(Fail("workflow", "no site could give a first model"))

    driver.do(Resume("operator"))
    driver.do(OpenRound(0))
    driver.do(OpenExchange(0, 0, INITIALISE, None, ("a",)))

    assert [(e.number, e.closed) for e in driver.state.open_exchanges()] == [(1, None)]


def test_what_was_answered_stands() -> None:
    driver = asked("ab")
    driver.accept("a")
    driver.accept("b")
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))
    driver.do(Stop("operator"))

    driver.do(Resume("operator"))

    assert [(e.number, e.answered) for e in driver.state.in_round()] == [(1, ("a", "b")), (2, ())]


def test_an_update_that_was_accepted_before_is_not_asked_for_again() -> None:
    driver = asked("ab")
    driver.accept("a")
    driver.do(Stop("operator"))

    driver.do(Resume("operator"))

    exchange = driver.state.exchanges[1]
    assert (exchange.answered, exchange.awaited) == (("a",), ("b",))


def test_a_site_that_left_is_not_needed_any_more() -> None:
    driver = asked("abc")
    driver.accept("a")
    driver.do(Leave("c", "removed"))
    assert driver.state.phase is Phase.FAILED

    driver.do(Resume("operator"))
    driver.accept("b")

    assert driver.state.exchanges[1].closed == "all"
    assert driver.do(OpenExchange(1, 1, "evaluate", MODEL)) == ["ExchangeOpened"]
    assert tuple(driver.state.exchanges[2].members) == ("a", "b")


def test_the_answer_of_a_site_that_left_still_counts() -> None:
    driver = asked("abc")
    driver.accept("a")
    driver.do(Leave("a", "removed"))
    driver.do(Leave("c", "removed"))

    driver.do(Resume("operator"))
    driver.accept("b")

    assert driver.state.exchanges[1].answered == ("a", "b")


def test_where_all_of_a_round_have_left_it_begins_anew_with_others() -> None:
    driver = asked("ab")
    driver.accept("a")
    driver.accept("b")
    driver.do(Invite("c"))
    driver.do(AnswerPlan("c", True))
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))
    for site in ("a", "b"):
        driver.do(Leave(site, "removed"))
        assert driver.state.phase is Phase.FAILED
        driver.do(Resume("operator"))

    driver.do(OpenRound(1))

    assert (driver.state.cohort, driver.state.in_round()) == (("c",), ())


def test_as_long_as_a_round_is_open_its_cohort_is_the_same_for_the_workflow() -> None:
    driver = asked("abc")
    driver.accept("a")
    driver.do(Leave("c", "removed"))

    driver.do(Resume("operator"))

    assert driver.state.cohort == ("a", "b", "c")
    assert driver.do(OpenRound(1)) == []


def test_with_fewer_sites_than_the_plan_asks_for_it_waits_for_them_to_agree() -> None:
    driver = asked("ab", minimum=2)
    driver.do(Leave("b", "removed"))
    driver.do(Resume("operator"))
    assert driver.state.phase is Phase.SUBMITTED

    driver.do(Invite("b"))
    driver.do(AnswerPlan("b", True))

    assert driver.state.phase is Phase.RUNNING
    assert driver.state.exchanges[1].awaited == ("a", "b")


def test_where_too_few_of_a_round_are_left_it_begins_anew_with_those_there_are() -> None:
    driver = asked("ab", minimum=2)
    driver.accept("a")
    driver.do(Invite("c"))
    driver.do(AnswerPlan("c", True))
    driver.do(Leave("b", "removed"))
    assert driver.state.phase is Phase.FAILED

    driver.do(Resume("operator"))

    assert driver.state.phase is Phase.RUNNING
    assert driver.do(OpenRound(1)) == ["RoundOpened"]
    assert driver.state.cohort == ("a", "c")


def test_a_stream_that_nobody_answered_any_more_goes_on() -> None:
    driver = Driver("a").started()
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    driver.do(OpenStream("train", MODEL))
    driver.do(FailTask(1, "a", "broken"))
    driver.do(OpenStream("train", MODEL))
    assert driver.state.phase is Phase.FAILED

    driver.do(Resume("operator"))

    assert driver.do(OpenStream("train", MODEL)) == ["ExchangeOpened"]


def test_a_run_that_too_few_sites_accepted_asks_those_that_refused_once_more() -> None:
    driver = Driver("ab", cohort=RULES | {"minimum": 2})
    driver.do(AnswerPlan("a", True))
    driver.do(AnswerPlan("b", False, ("not today",)))
    assert driver.state.phase is Phase.FAILED

    driver.do(Resume("operator"))
    assert driver.state.unanswered == ("b",)
    driver.do(AnswerPlan("b", True))

    assert driver.state.phase is Phase.RUNNING
