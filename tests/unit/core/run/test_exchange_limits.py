"""How often a site is asked: no more than the plan says, over restarts, resumes and repeated rounds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.run.commands import HISTORIES
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, Driver

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.evolve import evolve
from hanse.core.run.lifecycle import AnswerPlan, Fail, Invite, Leave, Recover, RestartWorker, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.round_events import ExchangeOpened
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.run.timing import Tick
from hanse.errors import RunError, TamperedError, WorkflowError

RULES = {"deadline": 100, "idle_limit": 30, "approvals": 500}
INDIVIDUAL = {"update": "individual"}


def tasks(exchanges: int = 1) -> dict[str, Any]:
    return {"train": {"exchanges": exchanges, "discloses": INDIVIDUAL}, "evaluate": {}}


def driven(sites: str = "abc", exchanges: int = 1, **changes: Any) -> Driver:
    rules = {"cohort": RULES} | changes
    return Driver(sites, tasks=tasks(exchanges), **rules).in_round()


def answered(driver: Driver, *sites: str, exchange: int | None = None) -> None:
    number = driver.state.last_exchange if exchange is None else exchange
    for site in sites:
        driver.accept(site, number)


def opened(driver: Driver) -> list[ExchangeOpened]:
    return [event for event, _ in driver.history if isinstance(event, ExchangeOpened)]


class TestRound:
    def test_a_task_is_asked_once_a_round_unless_the_plan_says_more(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a", "b", "c")

        with pytest.raises(WorkflowError) as refused:
            driver.do(OpenExchange(1, 1, "train", NEXT_MODEL))

        assert "asked a for 'train' in 2 exchanges of round 1" in refused.value.message
        assert "`tasks: {train: {exchanges: 2}}`" in refused.value.mend

    def test_the_line_to_add_is_the_one_that_permits_it(self) -> None:
        driver = driven(exchanges=2)
        for index, model in enumerate((MODEL, NEXT_MODEL)):
            driver.do(OpenExchange(1, index, "train", model))
            answered(driver, "a", "b", "c")

        with pytest.raises(WorkflowError, match=r"in 3 exchanges ") as refused:
            driver.do(OpenExchange(1, 2, "train", MODEL))

        assert "{exchanges: 3}" in refused.value.mend

    def test_each_site_counts_by_itself(self) -> None:
        driver = driven()
        for index, site in enumerate("abc"):
            driver.do(OpenExchange(1, index, "train", MODEL, sites=(site,)))
            answered(driver, site)

        with pytest.raises(WorkflowError, match="asked b for 'train' in 2 exchanges"):
            driver.do(OpenExchange(1, 3, "train", MODEL, sites=("b",)))

    def test_each_task_counts_by_itself(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a", "b", "c")

        assert driver.do(OpenExchange(1, 1, "evaluate", NEXT_MODEL)) == ["ExchangeOpened"]

    def test_each_round_counts_by_itself(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a", "b", "c")
        driver.do(Commit(1, NEXT_MODEL))
        driver.do(OpenRound(2))

        assert driver.do(OpenExchange(2, 0, "train", NEXT_MODEL)) == ["ExchangeOpened"]

    def test_a_site_that_failed_was_asked_too(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))
        driver.do(FailTask(1, "a", "no memory"))

        with pytest.raises(WorkflowError, match="asked a for 'train' in 2 exchanges"):
            driver.do(OpenExchange(1, 1, "train", MODEL, sites=("a",)))

    def test_a_first_model_is_asked_of_a_site_once(self) -> None:
        driver = Driver("ab").started()
        driver.do(OpenRound(0))
        driver.do(OpenExchange(0, 0, INITIALISE, None, ("a",)))
        driver.do(AcceptResult(1, "a", 0, {}, UPDATE))

        with pytest.raises(WorkflowError, match="a site is asked for a first model once"):
            driver.do(OpenExchange(0, 1, INITIALISE, None, ("a",)))


class TestRestart:
    def test_a_workflow_that_begins_again_asks_the_same_and_nothing_more(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a")
        driver.do(RestartWorker("killed"))
        driver.do(Recover())

        assert driver.do(OpenExchange(1, 0, "train", MODEL)) == []
        assert driver.state.exchanges[1].awaited == ("b", "c")


def begun_again() -> Driver:
    """A round that lost b, waited for another site, and begins again; a and b had trained, a evaluated."""
    driver = driven("ab", cohort=RULES | {"minimum": 2})
    driver.do(OpenExchange(1, 0, "train", MODEL))
    answered(driver, "a", "b")
    driver.do(OpenExchange(1, 1, "evaluate", NEXT_MODEL))
    answered(driver, "a")
    driver.do(Leave("b", "removed"))
    driver.do(Resume("operator"))
    driver.do(Invite("c"))
    driver.do(AnswerPlan("c", True))
    assert driver.do(OpenRound(1)) == ["RoundOpened"]
    return driver


class TestResume:
    """What a run that is resumed asks again, it asks under the numbers that it had."""

    def test_an_exchange_of_chosen_sites_that_nobody_answered(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a", "b")))
        driver.do(Tick(), after_s=100)
        assert driver.state.exchanges[1].closed is not None

        driver.do(Fail("workflow", "nobody answered"))
        driver.do(Resume("operator"))
        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("b", "a")))

        assert [(e.number, e.awaited) for e in driver.state.open_exchanges()] == [(1, ("a", "b"))]
        answered(driver, "a", "b", exchange=1)
        assert driver.state.exchanges[1].answered == ("a", "b")

    def test_an_exchange_that_closed_twice_is_told_by_its_last_close(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))
        driver.do(FailTask(1, "a", "no memory"))
        driver.do(Fail("workflow", "nobody answered"))
        driver.do(Resume("operator"))
        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))
        answered(driver, "a", exchange=1)

        assert driver.state.attendance.closed[1].answered == ("a",)

    def test_first_models_whatever_place_their_sites_have_then(self) -> None:
        driver = Driver("ac").started()
        driver.do(OpenRound(0))
        for index, site in enumerate("ac"):
            driver.do(OpenExchange(0, index, INITIALISE, None, (site,)))
            driver.do(FailTask(index + 1, site, "no data"))
        driver.do(Invite("b"))
        driver.do(AnswerPlan("b", True))
        driver.do(Fail("workflow", "no site could give a first model"))

        driver.do(Resume("operator"))
        assert driver.do(OpenRound(0)) == ["RoundOpened"]
        for index, site in enumerate("abc"):
            driver.do(OpenExchange(0, index, INITIALISE, None, (site,)))
            driver.do(FailTask(driver.state.in_round()[-1].number, site, "no data"))

        assert [(e.exchange, e.index, e.cohort) for e in opened(driver)[2:]] == [
            (1, 0, ("a",)),
            (3, 1, ("b",)),
            (2, 2, ("c",)),
        ]

    def test_an_exchange_that_begins_again_with_others_keeps_what_was_answered(self) -> None:
        driver = driven("ab", cohort=RULES | {"minimum": 2})
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a")
        driver.do(Leave("b", "removed"))
        driver.do(Resume("operator"))  # and waits for another site
        driver.do(Invite("c"))
        driver.do(AnswerPlan("c", True))

        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL))

        exchange = driver.state.exchanges[1]
        assert (exchange.answered, exchange.awaited, exchange.needed) == (("a",), ("c",), 2)
        assert [(e.exchange, e.cohort) for e in opened(driver)] == [(1, ("a", "b")), (1, ("a", "c"))]
        answered(driver, "c", exchange=1)
        assert driver.state.exchanges[1].closed == "all"

    def test_a_round_that_begins_again_takes_a_sum_that_was_complete_and_asks_others_for_the_rest(
        self,
    ) -> None:
        driver = begun_again()

        driver.do(OpenExchange(1, 0, "train", MODEL))
        driver.do(OpenExchange(1, 1, "evaluate", NEXT_MODEL))

        train, evaluate = driver.state.in_round()
        assert (train.number, train.closed, train.answered) == (1, "all", ("a", "b"))
        assert (evaluate.number, evaluate.answered, evaluate.awaited) == (2, ("a",), ("c",))

    def test_a_round_that_begins_again_and_asks_something_else_does_not_ask_more(self) -> None:
        driver = begun_again()

        with pytest.raises(WorkflowError, match="asked a for 'train' in 2 exchanges of round 1"):
            driver.do(OpenExchange(1, 0, "train", NEXT_MODEL))

    def test_what_did_not_stand_is_let_go_of_at_the_commit(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))
        driver.do(FailTask(1, "a", "no memory"))
        driver.do(Stop("operator"))
        driver.do(Resume("operator"))
        assert [exchange.number for exchange in driver.state.earlier] == [1]

        driver.do(OpenRound(1))
        driver.do(Commit(1, NEXT_MODEL))

        assert driver.state.earlier == ()


def streaming(exchanges: int = 1, sites: str = "a", rounds: int = 2) -> Driver:
    driver = Driver(sites, tasks=tasks(exchanges), rounds=rounds).started()
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    return driver


def taken(driver: Driver, *numbers: int) -> frozenset[int]:
    """Have site a answer these exchanges of a stream, one after another; the workflow takes each."""
    given: set[int] = set()
    for number in numbers:
        driver.do(OpenStream("train", MODEL, frozenset(given)))
        answered(driver, "a", exchange=number)
        given.add(number)
    return frozenset(given)


class TestStream:
    def test_a_site_gives_as_many_answers_as_the_plan_has_rounds(self) -> None:
        driver = streaming(sites="ab")  # b is at work all the time
        given = taken(driver, 1, 3)

        assert driver.do(OpenStream("train", MODEL, given)) == []

        assert [exchange.number for exchange in driver.state.stream() if "a" in exchange.members] == [1, 3]

    def test_where_no_site_may_be_asked_any_more_the_workflow_is_told_the_line_to_add(self) -> None:
        driver = streaming()
        given = taken(driver, 1, 2)

        with pytest.raises(WorkflowError, match="a once more for 'train' of its stream") as refused:
            driver.do(OpenStream("train", MODEL, given))

        assert "`tasks: {train: {exchanges: 2}}`" in refused.value.mend

    def test_the_plan_may_say_more(self) -> None:
        driver = streaming(exchanges=2)
        given = taken(driver, 1, 2, 3, 4)

        with pytest.raises(WorkflowError, match="a once more for 'train' of its stream"):
            driver.do(OpenStream("train", MODEL, given))

    def test_a_workflow_that_commits_each_update_never_meets_the_limit(self) -> None:
        driver = streaming(rounds=3)
        for number in range(1, 4):
            driver.do(OpenStream("train", MODEL))
            answered(driver, "a", exchange=number)
            driver.do(Commit(number, MODEL, consumed=(number,)))

        assert driver.state.streamed == {("train", "a"): 3}
        assert driver.state.complete

    def test_a_resumed_stream_asks_under_the_numbers_that_it_had(self) -> None:
        driver = streaming()
        driver.do(OpenStream("train", MODEL))
        driver.do(FailTask(1, "a", "no memory"))
        driver.do(OpenStream("train", MODEL))
        driver.do(Resume("operator"))

        driver.do(OpenStream("train", MODEL))

        assert [(e.exchange, e.cohort) for e in opened(driver)] == [(1, ("a",)), (1, ("a",))]
        assert driver.state.streamed == {("train", "a"): 1}

    def test_rounds_and_streams_together_ask_no_more(self) -> None:
        driver = driven("a", rounds=2)
        driver.do(OpenExchange(1, 0, "train", MODEL))
        answered(driver, "a")
        driver.do(Commit(1, MODEL))
        driver.do(OpenStream("train", MODEL))
        answered(driver, "a", exchange=2)
        with pytest.raises(WorkflowError, match="of its stream"):
            driver.do(OpenStream("train", MODEL, frozenset({2})))

        driver.do(OpenRound(2))

        with pytest.raises(WorkflowError, match="a once more for 'train', beside what it streamed"):
            driver.do(OpenExchange(2, 0, "train", MODEL))


class TestReplay:
    def test_a_number_that_was_not_given_out_is_no_exchange(self) -> None:
        driver = driven()
        opening = ExchangeOpened(
            exchange=7, round_number=1, index=0, task="train", model=MODEL, cohort=("a",), needed=1
        )

        with pytest.raises(TamperedError, match="exchange 7 where 1 is next"):
            evolve(driver.state, opening, driver.now_ms)

    def test_an_exchange_that_stands_is_not_opened_again(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL))

        with pytest.raises(TamperedError, match="exchange 1 where 2 is next"):
            evolve(driver.state, opened(driver)[0], driver.now_ms)

    def test_under_the_number_of_an_exchange_nothing_else_is_asked(self) -> None:
        driver = driven()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))
        driver.do(FailTask(1, "a", "no memory"))
        driver.do(Stop("operator"))
        driver.do(Resume("operator"))
        other = opened(driver)[0].model_copy(update={"model": NEXT_MODEL})

        with pytest.raises(TamperedError, match="something else under the number of exchange 1"):
            evolve(driver.state, other, driver.now_ms)


@given(HISTORIES, st.integers(1, 2))
def test_whatever_happens_no_site_is_asked_in_more_exchanges_than_the_plan_says(
    history: list[Any], exchanges: int
) -> None:
    driver = driven("abcd", exchanges, cohort=RULES | {"quorum": 0.5, "minimum": 2, "grace": 10})
    asked: defaultdict[tuple[str, str, int | None], set[int]] = defaultdict(set)
    questions: dict[int, tuple[Any, ...]] = {}
    for command, after_s in history:
        try:
            driver.do(command, after_s=after_s)
        except RunError:
            continue
        for exchange in driver.state.exchanges.values():
            about = exchange.round_number, exchange.task, exchange.model
            assert questions.setdefault(exchange.number, about) == about
            for site in exchange.members:
                asked[site, exchange.task, None].add(exchange.number)
                if exchange.index >= 0:
                    asked[site, exchange.task, exchange.round_number].add(exchange.number)

    for (_, _, round_number), numbers in asked.items():
        rounds = driver.state.plan.rounds if round_number is None else 1
        assert len(numbers) <= rounds * exchanges
