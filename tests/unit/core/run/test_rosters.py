"""The roster of a run: the key of each site that takes part, and what begins states its digest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from tests.thorough import examples
from tests.unit.core.run.commands import COHORT, HISTORIES, SITES
from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import AnswerPlan, Invite, Leave, Recover, Resume, Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.round_events import ExchangeOpened
from hanse.core.run.run import Phase
from hanse.core.run.run_events import PlanAnswered, RunStarted
from hanse.core.run.tasks import AcceptResult
from hanse.core.values.roster import Roster
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import HanseError

OF_BEFORE = CertifiedStatement(body={}, certificate="", signature="")
"""A consent of before 0.2, as the journal has it."""


def key(site: str, number: int = 1) -> str:
    return f"{ord(site):x}{number}".ljust(64, "0")


def keys(sites: str) -> dict[str, str]:
    return {site: key(site) for site in sites}


def agreed(sites: str = "abc", **rules: Any) -> Driver:
    """A run that all sites have agreed to, each with its key."""
    driver = Driver(sites, cohort=COHORT | rules)
    for site in sites:
        driver.do(AnswerPlan(site, True, signer=key(site)))
    return driver


def asked(sites: str = "abc", **rules: Any) -> Driver:
    driver = agreed(sites, **rules)
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    driver.do(OpenRound(1))
    driver.do(OpenExchange(1, 0, "train", MODEL))
    return driver


def of_before(sites: str = "abc", **changes: Any) -> Driver:
    """A run of before 0.2, under way: its consents name no keys."""
    driver = Driver(sites, cohort=COHORT, **changes)
    for site in sites:
        driver.do(AnswerPlan(site, True, statement=OF_BEFORE))  # type: ignore[arg-type]
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    driver.do(OpenRound(1))
    driver.do(OpenExchange(1, 0, "train", MODEL))
    return driver


def stated(driver: Driver) -> list[str | None]:
    """Rosters that the history states, in order."""
    return [event.roster for event, _ in driver.history if isinstance(event, RunStarted | ExchangeOpened)]


def test_the_start_and_each_exchange_state_the_roster_of_those_who_take_part() -> None:
    driver = asked()
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))

    assert stated(driver) == [Roster(keys("abc")).digest] * 3
    assert driver.state.exchanges[1].roster == keys("abc")


def test_each_answer_names_the_key_that_it_was_signed_with() -> None:
    answers = [event for event, _ in agreed().history if isinstance(event, PlanAnswered)]

    assert {event.site: event.signer for event in answers} == keys("abc")


def test_an_exchange_of_a_stream_states_the_roster() -> None:
    driver = agreed("ab")
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    driver.do(OpenStream("train", MODEL))

    assert stated(driver) == [Roster(keys("ab")).digest] * 3


def test_a_site_that_leaves_or_refuses_is_in_no_later_roster() -> None:
    driver = asked("abcd")
    driver.do(Leave("a", "removed"))
    driver.do(AnswerPlan("b", False))
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))

    assert stated(driver)[-2:] == [Roster(keys("abcd")).digest, Roster(keys("cd")).digest]


def test_a_site_that_joins_is_in_later_rosters() -> None:
    driver = asked("ab")
    driver.do(Invite("c", key("c")))
    driver.do(AnswerPlan("c", True, signer=key("c")))
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))

    assert stated(driver)[-2:] == [Roster(keys("ab")).digest, Roster(keys("abc")).digest]


def test_a_simulation_has_no_keys_and_no_rosters() -> None:
    driver = Driver("ab").asked()

    assert stated(driver) == [None, None]
    assert driver.state.unsigned == set()


def test_the_same_answer_with_the_same_key_changes_nothing_and_with_another_key_does() -> None:
    driver = agreed()

    assert driver.do(AnswerPlan("a", True, signer=key("a"))) == []
    assert driver.do(AnswerPlan("a", True, signer=key("a", 2))) == ["PlanAnswered"]
    assert driver.state.roster["a"] == key("a", 2)


class TestAnotherKey:
    def test_a_site_with_another_key_is_asked_again_and_waited_for_no_more(self) -> None:
        driver = asked()

        assert driver.do(Invite("a", key("a", 2))) == ["SiteInvited"]

        assert (driver.state.population, driver.state.unanswered) == (("b", "c"), ("a",))
        assert driver.state.exchanges[1].members["a"].state is MemberState.FAILED

    def test_a_site_with_the_same_key_is_not(self) -> None:
        assert asked().do(Invite("a", key("a"))) == []

    def test_a_site_whose_key_changed_while_the_run_was_stopped_is_asked_again_at_its_resumption(
        self,
    ) -> None:
        driver = asked()
        driver.do(Stop("operator"))

        events = driver.do(Resume("operator", keys("bc") | {"a": key("a", 2)}))

        assert events[:2] == ["SiteInvited", "RunResumed"]
        assert (driver.state.phase, driver.state.population) == (Phase.RUNNING, ("b", "c"))

    def test_a_round_begins_anew_where_the_keys_it_was_asked_with_have_changed(self) -> None:
        driver = asked("ab", minimum=2)
        driver.do(AcceptResult(1, "b", 10, {}, "c" * 64))
        driver.do(Stop("operator"))
        driver.do(Resume("operator", {"a": key("a", 2)}))
        assert driver.state.phase is Phase.SUBMITTED

        events = driver.do(AnswerPlan("a", True, signer=key("a", 2)))

        assert events == ["PlanAnswered", "RunStarted"]
        assert driver.state.in_round() == ()
        assert stated(driver)[-1] == Roster(keys("b") | {"a": key("a", 2)}).digest

    def test_a_round_stands_where_all_keys_are_as_they_were(self) -> None:
        driver = asked("ab")
        driver.do(AcceptResult(1, "b", 10, {}, "c" * 64))
        driver.do(Stop("operator"))

        driver.do(Resume("operator", keys("ab")))

        assert [exchange.answered for exchange in driver.state.in_round()] == [("b",)]


class TestRunsOfBefore:
    """Runs whose sites agreed before there were signing keys."""

    def test_it_has_no_roster_and_knows_who_has_to_answer_again(self) -> None:
        driver = of_before()

        assert stated(driver) == [None, None]
        assert driver.state.unsigned == {"a", "b", "c"}

    def test_exchanges_state_no_roster_until_all_have_answered_with_a_key(self) -> None:
        often = {"evaluate": {"exchanges": 3}}
        driver = of_before(tasks={"train": {"discloses": {"update": "individual"}}} | often)
        driver.do(Recover())
        for number, site in enumerate("abc", start=1):
            assert driver.do(AnswerPlan(site, True, signer=key(site))) == ["PlanAnswered"]
            driver.do(OpenExchange(1, number, "evaluate", MODEL))

        assert stated(driver) == [None, None, None, None, Roster(keys("abc")).digest]
        assert driver.state.exchanges[1].awaited == ("a", "b", "c")

    def test_a_site_that_leaves_is_not_waited_for(self) -> None:
        driver = of_before("ab")
        driver.do(AnswerPlan("a", True, signer=key("a")))
        driver.do(Leave("b", "removed"))
        driver.do(OpenExchange(1, 1, "evaluate", MODEL))

        assert stated(driver)[-1] == Roster(keys("a")).digest

    def test_before_its_start_a_run_that_comes_back_asks_those_again_whose_key_it_does_not_know(
        self,
    ) -> None:
        driver = Driver("ab", cohort=COHORT)
        driver.do(AnswerPlan("a", True, statement=OF_BEFORE))  # type: ignore[arg-type]

        assert driver.do(Recover()) == ["RunRecovered", "SiteInvited"]

        assert driver.state.unanswered == ("a", "b")

    def test_under_way_it_goes_on_with_those_who_agreed(self) -> None:
        driver = of_before()

        assert driver.do(Recover()) == ["RunRecovered"]

        assert driver.state.population == ("a", "b", "c")

    def test_a_stopped_run_asks_all_of_them_again_when_it_is_resumed_and_its_round_begins_anew(
        self,
    ) -> None:
        driver = of_before("ab")
        driver.do(AcceptResult(1, "b", 10, {}, "c" * 64))
        driver.do(Stop("operator"))

        assert driver.do(Resume("operator")) == ["SiteInvited", "SiteInvited", "RunResumed"]
        for site in "ab":
            driver.do(AnswerPlan(site, True, signer=key(site)))

        assert driver.state.phase is Phase.RUNNING
        assert driver.state.in_round() == ()
        assert stated(driver)[-1] == Roster(keys("ab")).digest


@settings(max_examples=examples(300))
@given(HISTORIES)
def test_in_any_history_the_roster_has_the_last_key_of_each_site_that_takes_part(history: Any) -> None:
    driver = Driver(SITES, cohort=COHORT)
    for command, pause_s in history:
        try:
            driver.do(command, after_s=pause_s)
        except HanseError:
            continue
        run = driver.state
        assert set(run.roster) | set(run.unsigned) <= set(run.taking_part)
        assert not set(run.roster) & set(run.unsigned)
        last = {
            event.site: event.signer
            for event, _ in driver.history
            if isinstance(event, PlanAnswered) and event.accepted
        }
        assert all(last[site] == signer for site, signer in run.roster.items())


@pytest.mark.parametrize("sites", ["ab", "abc"])
def test_what_begins_while_the_roster_stays_the_same_shares_its_tree(sites: str) -> None:
    driver = asked(sites)
    driver.do(OpenExchange(1, 1, "evaluate", MODEL))

    first, second = (driver.state.exchanges[number].roster for number in (1, 2))

    assert first is second is driver.state.roster
