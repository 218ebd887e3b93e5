"""Sums over few sites: by whatever way an exchange ends, no sum is of fewer sites than the plan says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.run.commands import HISTORIES
from tests.unit.core.run.runs import MODEL, UPDATE, Driver

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.hosting import check_sum
from hanse.core.run.lifecycle import AnswerPlan, Fail, Invite, Leave, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.round_events import ExchangeClosed, UpdatesAggregated
from hanse.core.run.run import Phase
from hanse.core.run.run_events import RunFailed
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.run.timing import Tick
from hanse.errors import LateResultError, QuorumError, RunError, WorkflowError

SUMMED = {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}, "evaluate": {}}
RULES = {"deadline": 100, "idle_limit": 30, "approvals": 500, "minimum": 3, "quorum": 0.1}


def asked(sites: str = "abcd", **rules: Any) -> Driver:
    return Driver(sites, tasks=SUMMED, cohort=RULES | rules).asked()


def closings(driver: Driver) -> list[ExchangeClosed]:
    return [event for event, _ in driver.history if isinstance(event, ExchangeClosed)]


def failure(driver: Driver) -> str:
    assert driver.state.phase is Phase.FAILED
    return driver.state.reason


def test_a_quorum_of_fewer_sites_does_not_lower_the_minimum() -> None:
    driver = asked()

    assert driver.state.exchanges[1].needed == 3


def test_silence_does_not_close_a_sum_below_the_minimum() -> None:
    driver = asked()
    driver.accept("a")
    driver.accept("b")

    driver.do(Tick(), after_s=31)
    assert closings(driver) == []
    driver.do(Tick(), after_s=70)

    assert "2 of 4 sites answered within the deadline of 100 s; 3 are needed" in failure(driver)


def test_failures_do_not_close_a_sum_below_the_minimum() -> None:
    driver = asked()
    driver.accept("a")

    driver.do(FailTask(1, "b", "no memory"))
    driver.do(FailTask(1, "c", "no memory"))

    assert closings(driver) == []
    assert "1 of 4 sites answered; 3 are needed" in failure(driver)


def test_sites_that_leave_or_withdraw_do_not_close_a_sum_below_the_minimum() -> None:
    driver = asked()
    driver.accept("a")

    driver.do(Leave("b", "removed"))
    driver.do(AnswerPlan("c", False, ("no vote",)))

    assert closings(driver) == []
    assert "3 are needed" in failure(driver)


def test_refusals_of_the_plan_leave_too_few_for_a_run() -> None:
    driver = Driver("abcd", tasks=SUMMED, cohort=RULES)
    for site in "abcd":
        driver.do(AnswerPlan(site, site in "ab"))

    assert "2 sites accepted the plan, 3 are needed" in failure(driver)


def test_suspended_sites_do_not_lower_the_minimum() -> None:
    driver = Driver("abcd", tasks=SUMMED, rounds=9, cohort=RULES | {"set_aside_after": 1}).asked()
    for site in "abc":
        driver.accept(site)
    driver.do(FailTask(1, "d", "no memory"))
    driver.do(Commit(1, MODEL))
    assert driver.state.failure_record.suspensions.keys() == {"d"}

    driver.do(OpenRound(2))
    driver.do(OpenExchange(2, 0, "train", MODEL))

    assert driver.state.exchanges[2].needed == 3
    driver.do(FailTask(2, "a", "no memory"))
    assert "3 are needed" in failure(driver)


def test_a_resumed_run_does_not_lower_the_minimum() -> None:
    driver = asked()
    driver.accept("a")
    driver.do(Leave("d", "removed"))
    driver.do(Stop("operator"))
    driver.do(Resume("operator"))
    assert driver.state.exchanges[1].needed == 3

    driver.accept("b")
    assert closings(driver) == []
    driver.do(Leave("c", "removed"))

    assert failure(driver)
    driver.do(Resume("operator"))
    assert driver.state.phase is Phase.SUBMITTED  # until another site accepts the plan


def test_a_late_answer_is_no_part_of_a_sum() -> None:
    driver = asked(grace=1)
    for site in "abc":
        driver.accept(site)
    driver.do(Tick(), after_s=2)

    assert [event.cause for event in closings(driver)] == ["grace"]
    with pytest.raises(LateResultError):
        driver.accept("d")


def test_sites_without_examples_do_not_count_to_the_minimum_of_a_sum() -> None:
    driver = asked(grace=1)
    driver.do(AcceptResult(1, "a", 0, {}, UPDATE))
    driver.accept("b")
    driver.accept("c")
    driver.do(Tick(), after_s=2)
    assert closings(driver) == []  # three have answered, and the sum would be of two

    driver.accept("d")

    assert closings(driver)[0].answered == ("a", "b", "c", "d")


def test_a_sum_that_lacks_sites_with_examples_fails_with_the_reason() -> None:
    driver = asked()
    for site in "ab":
        driver.do(AcceptResult(1, site, 0, {}, UPDATE))

    assert closings(driver) == []
    assert "2 had no examples; by `cohort: {minimum: 3}` a sum needs 3 with examples" in failure(driver)


def test_an_evaluation_counts_sites_without_examples_too() -> None:
    driver = Driver("abc", tasks=SUMMED, cohort=RULES).asked("evaluate")
    for site in "abc":
        driver.do(AcceptResult(1, site, 0, {}, None))

    assert closings(driver)[0].answered == ("a", "b", "c")


def test_sites_that_the_workflow_chose_itself_are_not_summed() -> None:
    driver = Driver("abcd", tasks=SUMMED, cohort=RULES).in_round()

    with pytest.raises(WorkflowError, match="only in aggregate over the cohort"):
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))


def test_what_is_disclosed_in_sums_alone_is_not_streamed() -> None:
    driver = Driver("abcd", tasks=SUMMED, cohort=RULES).started()
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))

    with pytest.raises(WorkflowError, match="only in aggregate over the cohort"):
        driver.do(OpenStream("train", MODEL))


def test_before_the_first_round_nothing_but_a_first_model_is_asked_for() -> None:
    driver = Driver("abcd", tasks=SUMMED, cohort=RULES).started()
    for site in "abc":
        driver.do(Leave(site, "removed"))
    driver.do(OpenRound(0))  # with whoever is there, be they fewer than the minimum

    with pytest.raises(WorkflowError, match="before the first round a first model is asked for"):
        driver.do(OpenExchange(0, 0, "train", MODEL))


def test_a_first_model_is_asked_of_no_more_sites_at_once_than_there_have_to_be() -> None:
    driver = Driver("abcd", tasks=SUMMED, cohort=RULES).started()
    for site in "abc":
        driver.do(Leave(site, "removed"))
    driver.do(OpenRound(0))
    driver.do(OpenExchange(0, 0, INITIALISE, None))

    assert "3 are needed" in failure(driver)


def test_no_sum_is_recorded_of_an_exchange_that_is_open_or_has_too_few() -> None:
    driver = asked()
    for site in "abc":
        driver.accept(site)
    with pytest.raises(RunError, match="not closed"):
        driver.do(RecordAggregate(1, ("a", "b", "c"), 30, UPDATE))
    with pytest.raises(RunError, match="not closed"):
        check_sum(driver.state.plan, driver.state.exchanges[1])

    # No history leads there: an exchange that closed with two.
    other = Driver("ab", tasks=SUMMED, cohort=RULES | {"minimum": 1}).asked()
    other.accept("a")
    other.accept("b")
    closed = replace(other.state.exchanges[1])

    with pytest.raises(QuorumError, match=r"2 of 2 answers are of sites with examples; .* a sum needs 3"):
        check_sum(driver.state.plan, closed)


def test_what_is_not_disclosed_in_sums_alone_may_be_summed_over_any() -> None:
    driver = Driver("ab").asked()
    driver.accept("a")
    driver.accept("b")

    check_sum(driver.state.plan, driver.state.exchanges[1])


@given(HISTORIES, st.integers(1, 3), st.sampled_from([0.1, 0.5, 1.0]))
def test_whatever_happens_no_exchange_with_a_sum_closes_below_the_minimum(
    history: list[Any], minimum: int, quorum: float
) -> None:
    rules = RULES | {"minimum": minimum, "quorum": quorum, "set_aside_after": 1, "grace": 10}
    driver = Driver("abcd", tasks=SUMMED, cohort=rules).in_round()
    driver.do(OpenExchange(1, 0, "train", MODEL))
    for command, after_s in history:
        try:
            driver.do(command, after_s=after_s)
        except RunError:
            continue

    asked = {e.exchange: e.task for e, _ in driver.history if e.kind == "ExchangeOpened"}  # type: ignore[union-attr]
    for event, _ in driver.history:
        if isinstance(event, ExchangeClosed) and asked[event.exchange] == "train":
            assert len(event.answered) >= minimum
        if isinstance(event, UpdatesAggregated):
            assert len(driver_answers(driver, event.exchange)) >= minimum
        assert not (isinstance(event, RunFailed) and not event.reason)


def driver_answers(driver: Driver, exchange: int) -> set[str]:
    return {
        event.site  # type: ignore[union-attr]
        for event, _ in driver.history
        if event.kind == "UpdateAccepted" and event.exchange == exchange
    }


def test_a_run_that_failed_with_too_few_can_be_resumed_and_gets_its_sum() -> None:
    driver = asked()
    driver.accept("a")
    driver.do(FailTask(1, "b", "no memory"))
    driver.do(FailTask(1, "c", "no memory"))
    assert failure(driver)

    driver.do(Resume("operator"))
    driver.accept("b")
    driver.accept("c")
    driver.accept("d")

    assert closings(driver)[0].answered == ("a", "b", "c", "d")
    driver.do(RecordAggregate(1, ("a", "b", "c", "d"), 40, UPDATE))


def test_a_site_that_was_invited_later_does_not_stand_for_two() -> None:
    driver = asked("abc")
    driver.accept("a")
    driver.do(Leave("c", "removed"))
    driver.do(Resume("operator"))
    driver.do(Invite("c"))
    driver.do(AnswerPlan("c", True))
    driver.do(Fail("workflow", "none"))
    driver.do(Resume("operator"))

    driver.accept("b")
    assert closings(driver) == []
    driver.accept("c")

    assert closings(driver)[0].answered == ("a", "b", "c")
