"""Sites that fail again and again: suspended, and reinstated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.run.lifecycle import AnswerPlan, Invite, Leave, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened, RoundOpened
from hanse.core.run.run import Phase
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.run.suspension import Reinstate
from hanse.core.run.tasks import FailTask
from hanse.core.run.timing import Tick
from hanse.errors import RunError

RULES: dict[str, Any] = {
    "deadline": 100,
    "idle_limit": 30,
    "quorum": 0.5,
    "set_aside_after": 2,
    "rest": "3 rounds",
}


def begun(sites: str = "abcd", **rules: Any) -> Driver:
    """A run of many rounds with its first model."""
    driver = Driver(sites, cohort=RULES | rules, rounds=100).started()
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    return driver


def a_round(driver: Driver, failing: str = "", silent: str = "", slow: str = "") -> list[str]:
    """One round; the names of the events of its commit.

    Args:
        driver: The run, with no round open.
        failing: Sites that fail.
        silent: Sites that show no sign for the idle limit.
        slow: Sites that show signs, and have not answered at the deadline.
    """
    number = driver.state.committed + 1
    driver.do(OpenRound(number))
    driver.do(OpenExchange(number, 0, "train", MODEL))
    exchange = driver.state.last_exchange
    for site in driver.state.exchanges[exchange].unanswered:
        if site in failing:
            driver.do(FailTask(exchange, site, "out of memory"))
        elif site not in silent + slow:
            driver.accept(site, exchange)
    if driver.state.open_exchanges():
        driver.do(Tick({(exchange, site): driver.now_ms + 30_000 for site in slow}), after_s=30)
    if driver.state.open_exchanges():
        driver.do(Tick({(exchange, site): driver.now_ms + 100_000 for site in slow}), after_s=100)
    return driver.do(Commit(number, MODEL))


def a_commit_of_a_stream(driver: Driver, failing: str) -> None:
    """Every site of a stream is asked once; what it gave is committed."""
    driver.do(OpenStream("train", MODEL))
    asked = driver.state.stream()
    for exchange in asked:
        (site,) = exchange.members
        if site in failing:
            driver.do(FailTask(exchange.number, site, "out of memory"))
        else:
            driver.accept(site, exchange.number)
    consumed = tuple(exchange.number for exchange in asked)
    driver.do(Commit(driver.state.committed + 1, MODEL, consumed=consumed))


def opened(driver: Driver) -> RoundOpened:
    """The round that was opened last."""
    return [event for event, _ in driver.history if isinstance(event, RoundOpened)][-1]


def suspended(sites: str = "abcd", **rules: Any) -> Driver:
    """A run in which d has been suspended, after round 2."""
    driver = begun(sites, **rules)
    for _ in range(2):
        a_round(driver, failing="d")
    assert [*driver.state.failure_record.suspensions] == ["d"]
    return driver


class TestSettingAside:
    @pytest.mark.parametrize("how", ["failing", "silent", "slow"])
    def test_a_site_that_fails_in_so_many_rounds_in_a_row_is_set_aside(self, how: str) -> None:
        driver = begun()

        assert a_round(driver, **{how: "d"}) == ["RoundCommitted"]
        assert a_round(driver, **{how: "d"}) == ["RoundCommitted", "SiteSuspended"]

    def test_the_reason_says_what_happened(self) -> None:
        event = suspended().history[-1][0]

        assert isinstance(event, SiteSuspended)
        assert (event.site, event.round_number) == ("d", 2)
        assert event.reason == "it failed in 2 rounds in a row, at last in round 2, train: out of memory"

    def test_an_answer_in_between_begins_the_count_anew(self) -> None:
        driver = begun()
        a_round(driver, failing="d")
        a_round(driver)

        assert a_round(driver, failing="d") == ["RoundCommitted"]

    def test_a_site_that_was_at_work_when_the_round_went_on_has_done_nothing_wrong(self) -> None:
        driver = begun(grace=10)
        for number in range(1, 5):
            driver.do(OpenRound(number))
            driver.do(OpenExchange(number, 0, "train", MODEL))
            for site in "abc":
                driver.accept(site, number)
            driver.do(Tick(), after_s=10)
            driver.do(Commit(number, MODEL))

        closes = [event.cause for event, _ in driver.history if isinstance(event, ExchangeClosed)]
        assert closes == ["grace"] * 4
        assert driver.state.failure_record.streaks == {}

    def test_one_failed_task_of_a_round_is_a_failed_round(self) -> None:
        driver = begun()
        driver.do(OpenRound(1))
        for index, task in enumerate(("train", "evaluate")):
            driver.do(OpenExchange(1, index, task, MODEL))
            for site in "abc":
                driver.accept(site, index + 1)
            if task == "train":
                driver.do(FailTask(1, "d", "no"))
            else:
                driver.accept("d", 2)
        driver.do(Commit(1, MODEL))

        assert driver.state.failure_record.streaks["d"].rounds == 1

    def test_a_site_that_leaves_has_not_failed(self) -> None:
        driver = begun()
        driver.do(OpenRound(1))
        driver.do(OpenExchange(1, 0, "train", MODEL))
        driver.do(Leave("d", "removed"))
        for site in "abc":
            driver.accept(site)
        driver.do(Commit(1, MODEL))

        assert driver.state.failure_record.streaks == {}

    def test_a_plan_can_have_nobody_set_aside(self) -> None:
        driver = begun(set_aside_after=0)

        for _ in range(10):
            a_round(driver, failing="d")

        assert not any(isinstance(event, SiteSuspended | SuspensionWaived) for event, _ in driver.history)

    def test_a_site_is_kept_where_the_others_would_be_too_few(self) -> None:
        driver = begun(minimum=3)
        a_round(driver, failing="d")
        driver.do(OpenRound(2))
        driver.do(OpenExchange(2, 0, "train", MODEL))
        driver.do(FailTask(2, "d", "out of memory"))
        for site in "abc":
            driver.accept(site, 2)
        driver.do(Leave("c", "removed"))

        assert driver.do(Commit(2, MODEL)) == ["RoundCommitted", "SuspensionWaived"]

        event = driver.history[-1][0]
        assert isinstance(event, SuspensionWaived)
        assert event.reason.endswith("; without it 2 would be left to ask, and 3 are needed")
        driver.do(OpenRound(3))
        assert opened(driver).cohort == ("a", "b", "d")

    def test_a_stream_keeps_the_minimum(self) -> None:
        driver = begun("ab", minimum=2)
        for _ in range(2):
            a_commit_of_a_stream(driver, failing="b")

        assert driver.history[-1][0].kind == "SuspensionWaived"

    def test_after_the_last_round_nobody_is(self) -> None:
        driver = Driver("abcd", cohort=RULES, rounds=2).started()
        driver.do(OpenRound(0))
        driver.do(Commit(0, MODEL))
        a_round(driver, failing="d")

        assert a_round(driver, failing="d") == ["RoundCommitted"]


class TestBeingAside:
    def test_it_is_not_asked_and_the_round_says_that_it_goes_without_it(self) -> None:
        driver = suspended()

        a_round(driver)

        assert (opened(driver).cohort, opened(driver).suspended) == (("a", "b", "c"), ("d",))
        assert driver.state.attendance.closed[3].suspended == ("d",)

    def test_where_another_can_be_asked_in_its_place_the_round_goes_without_nobody(self) -> None:
        driver = begun(fraction=0.5)
        while not driver.state.failure_record.suspensions:
            a_round(driver, failing="d")
        a_round(driver)

        assert len(opened(driver).cohort) == 2
        assert "d" not in opened(driver).cohort
        assert opened(driver).suspended == ()

    def test_the_quorum_stays_that_of_the_sites_that_the_plan_wants_asked(self) -> None:
        driver = suspended(quorum=0.7)  # 3 of 4

        a_round(driver)

        asked = [event for event, _ in driver.history if isinstance(event, ExchangeOpened)][-1]
        assert (asked.cohort, asked.needed) == (("a", "b", "c"), 3)

    def test_its_data_is_missing_from_the_round(self) -> None:
        driver = begun(tolerated_missing=0.2)
        a_round(driver)
        for _ in range(2):
            a_round(driver, failing="d")
        a_round(driver)

        data = driver.state.attendance.closed[4].data
        assert data is not None
        assert (data.answered, data.missing, data.too_little) == (30, 10, True)

    def test_a_workflow_that_names_it_gets_no_answer_of_it(self) -> None:
        driver = suspended()
        driver.do(OpenRound(3))

        assert driver.do(OpenExchange(3, 0, "train", MODEL, sites=("d",))) == [
            "ExchangeOpened",
            "ExchangeClosed",
        ]
        assert "suspended: it failed in 2 rounds" in driver.state.attendance.closed[3].failed["d"]

    def test_a_run_that_is_resumed_does_not_ask_it_either(self) -> None:
        driver = suspended()
        driver.do(OpenRound(3))
        driver.do(OpenExchange(3, 0, "train", MODEL, sites=("a", "d")))
        driver.do(Stop("operator"))

        driver.do(Resume("operator"))

        assert driver.state.exchanges[3].unanswered == ("a",)

    def test_that_is_not_held_against_it(self) -> None:
        driver = suspended()
        driver.do(OpenRound(3))
        driver.do(OpenExchange(3, 0, "train", MODEL, sites=("a", "d")))
        driver.accept("a", 3)
        driver.do(Commit(3, MODEL))

        assert driver.state.failure_record.streaks == {}

    def test_a_stream_does_not_ask_it_either(self) -> None:
        driver = begun("ab")
        for _ in range(2):
            a_commit_of_a_stream(driver, failing="b")
        driver.do(OpenStream("train", MODEL))

        assert [*driver.state.failure_record.suspensions] == ["b"]
        assert [tuple(e.members) for e in driver.state.stream()] == [("a",)]


class TestTakingBack:
    def test_it_is_asked_again_after_so_many_rounds(self) -> None:
        driver = suspended()
        for _ in range(3):
            a_round(driver)
            assert "d" not in opened(driver).cohort

        assert driver.do(OpenRound(6)) == ["SiteReinstated", "RoundOpened"]
        assert opened(driver).cohort == ("a", "b", "c", "d")

    def test_it_is_asked_again_after_so_long(self) -> None:
        driver = suspended(rest="30m")
        a_round(driver)

        driver.now_ms += 30 * 60_000

        assert driver.do(OpenRound(4)) == ["SiteReinstated", "RoundOpened"]

    def test_an_operator_can_take_it_back_at_once(self) -> None:
        driver = suspended()

        assert driver.do(Reinstate("d", "ada")) == ["SiteReinstated"]

        event = driver.history[-1][0]
        assert isinstance(event, SiteReinstated)
        assert event.by == "ada"
        assert driver.do(OpenRound(3)) == ["RoundOpened"]
        assert opened(driver).cohort == ("a", "b", "c", "d")

    def test_within_a_round_it_stays_out(self) -> None:
        driver = suspended()
        driver.do(OpenRound(3))
        driver.do(Reinstate("d", "ada"))

        driver.do(OpenExchange(3, 0, "train", MODEL))

        assert driver.state.exchanges[3].unanswered == ("a", "b", "c")

    def test_only_a_site_that_is_set_aside_can_be_taken_back(self) -> None:
        with pytest.raises(RunError, match="a is not suspended in run demo-1; suspended: d"):
            suspended().do(Reinstate("a", "ada"))

    def test_a_run_that_is_over_asks_nobody(self) -> None:
        driver = suspended()
        driver.do(Stop("operator"))

        with pytest.raises(RunError, match="is stopped"):
            driver.do(Reinstate("d", "ada"))

    def test_it_begins_with_nothing_against_it(self) -> None:
        driver = suspended()
        driver.do(Reinstate("d", "ada"))

        assert a_round(driver, failing="d") == ["RoundCommitted"]
        assert a_round(driver, failing="d") == ["RoundCommitted", "SiteSuspended"]

    def test_a_site_that_had_fallen_silent_is_waited_for_again(self) -> None:
        driver = begun()
        for _ in range(2):
            a_round(driver, silent="d")
        driver.do(Reinstate("d", "ada"))
        driver.do(OpenRound(3))

        driver.do(OpenExchange(3, 0, "train", MODEL))

        assert driver.state.exchanges[3].awaited == ("a", "b", "c", "d")

    def test_it_is_taken_back_where_without_it_too_few_are_left(self) -> None:
        driver = suspended(quorum=0.7)  # 3 of 4
        a_round(driver)
        driver.do(AnswerPlan("c", accepted=False))
        driver.do(Invite("c"))

        assert driver.do(OpenRound(4)) == ["SiteReinstated", "RoundOpened"]
        assert opened(driver).cohort == ("a", "b", "d")
        event = driver.history[-2][0]
        assert isinstance(event, SiteReinstated)
        assert event.reason == "without it 2 would be left to ask, and 3 are needed"

    def test_a_site_that_leaves_and_comes_back_begins_anew(self) -> None:
        driver = suspended()
        driver.do(Leave("d", "removed"))
        driver.do(Invite("d"))
        driver.do(AnswerPlan("d", accepted=True))

        assert driver.do(OpenRound(3)) == ["RoundOpened"]
        assert "d" in opened(driver).cohort


SITES = "abcdef"
FAILURES = st.lists(st.sets(st.sampled_from(SITES), max_size=5), min_size=1, max_size=25)
LIMITS = st.fixed_dictionaries(
    {
        "quorum": st.sampled_from([0.2, 0.5, 0.8, 1.0]),
        "minimum": st.integers(1, 4),
        "fraction": st.sampled_from([0.5, 1.0]),
        "set_aside_after": st.integers(1, 3),
        "rest": st.sampled_from(["1 rounds", "4 rounds", "5m"]),
    }
)


@settings(max_examples=examples(60), deadline=None)
@given(LIMITS, FAILURES)
def test_whoever_fails_the_next_round_can_always_have_its_quorum(
    limits: dict[str, Any], rounds: list[set[str]]
) -> None:
    driver = begun(SITES, **limits)

    for failing in rounds:
        number = driver.state.committed + 1
        driver.do(OpenRound(number))
        driver.do(OpenExchange(number, 0, "train", MODEL))
        exchange = driver.state.exchanges[driver.state.last_exchange]
        assert len(exchange.members) >= exchange.needed
        assert not exchange.members.keys() & driver.state.failure_record.suspensions.keys()
        can_fail = len(exchange.members) - exchange.needed
        unlucky = sorted(exchange.members.keys() & failing)[:can_fail]
        for site in exchange.members:
            if site in unlucky:
                driver.do(FailTask(exchange.number, site, "no"))
            elif driver.state.phase is Phase.RUNNING:
                driver.accept(site, exchange.number)
        driver.do(Commit(number, MODEL))

    assert driver.state.phase is Phase.RUNNING
