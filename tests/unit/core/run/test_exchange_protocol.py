"""Who owns the phases of an exchange and its end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.plan.cohort import Cohort
from hanse.core.run.events import event_body
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import (
    COLLECT,
    PLAIN,
    SUMMED,
    ExchangeStanding,
    MemberState,
    MemberStates,
    Plain,
    Shortfall,
    protocol_of,
)
from hanse.core.run.tasks import AcceptResult, FailTask, StartTask
from hanse.core.run.timing import Tick, follow_up_events
from hanse.core.values.canonical import canonical_json


class Patient(Plain):
    """Waits for no site that has begun, and closes at its deadline only."""

    def awaited_states(self, phase: str) -> MemberStates:
        return frozenset({MemberState.ASSIGNED})

    def outcome(self, exchange: ExchangeStanding, rules: Cohort, now_ms: int) -> str | Shortfall | None:
        return "deadline" if now_ms >= self.deadline_ms(exchange, rules) else None


@pytest.mark.parametrize("update", ["none", "individual", "aggregate"])
def test_each_disclosure_of_this_version_is_exchanged_plainly(update: str) -> None:
    by = {"aggregated_by": "aggregator"} if update == "aggregate" else {}
    discloses = {"discloses": {"update": update, **by}}
    driver = Driver(tasks={"train": {"discloses": {"update": "individual"}}, "other": discloses})

    assert protocol_of(driver.state.plan, "other") == (SUMMED if update == "aggregate" else PLAIN)
    assert protocol_of(driver.state.plan, "initialise") == PLAIN


def test_an_exchange_begins_in_the_first_phase_of_its_protocol_and_no_event_says_so() -> None:
    driver = Driver().asked()
    exchange = driver.state.exchanges[1]

    assert (exchange.protocol, exchange.phase) == (Plain(), COLLECT)
    bodies = [canonical_json(event_body(event)).decode() for event, _ in driver.history]
    assert not any("phase" in body or "collect" in body for body in bodies)


def asked_by(protocol: Plain) -> tuple[Driver, Exchange]:
    driver = Driver("ab").asked()
    run, exchange = driver.state, replace(driver.state.exchanges[1], protocol=protocol)
    driver.run = replace(run, exchanges=run.exchanges.put(exchange, run.plan.cohort))
    return driver, exchange


def test_the_protocol_says_for_whom_an_exchange_waits() -> None:
    driver, _ = asked_by(Patient())
    driver.do(StartTask(1, "a"))

    assert driver.state.exchanges[1].awaited == ("b",)
    assert driver.state.exchanges[1].unanswered == ("a", "b")


def test_the_protocol_says_when_an_exchange_closes() -> None:
    driver, _ = asked_by(Patient())
    driver.accept("a")

    assert driver.accept("b") == ["UpdateAccepted"]
    assert follow_up_events(driver.state, 99_999) == ()
    (closed,) = follow_up_events(driver.state, 100_000)
    assert closed.kind == "ExchangeClosed"


@pytest.mark.parametrize(
    ("commands", "now_ms", "outcome"),
    [
        ((), 0, None),
        ((AcceptResult(1, "a", 1, {}, None),), 0, None),
        ((AcceptResult(1, "a", 1, {}, None), FailTask(1, "b", "no memory")), 0, "all"),
        ((AcceptResult(1, "a", 1, {}, None),), 10_000, "grace"),
        ((), 100_000, Shortfall("round 1, train: 0 of 2 sites answered within the deadline of 100 s; 1 are "
            "needed; a: had not begun; b: had not begun")),
    ],
    ids=["nothing", "some", "all", "grace", "deadline"],
)  # fmt: skip
def test_a_plain_exchange_closes_by_the_rules_of_the_plan(
    commands: tuple[AcceptResult | FailTask, ...], now_ms: int, outcome: str | Shortfall | None
) -> None:
    driver = Driver("ab", cohort={"deadline": 100, "quorum": 0.5, "grace": 10}).asked()
    for command in commands:
        driver.do(command)
    exchange = replace(driver.state.exchanges[1], closed=None)

    assert exchange.model == MODEL
    assert PLAIN.outcome(exchange, driver.state.plan.cohort, now_ms) == outcome


def test_a_shortfall_of_many_sites_names_the_first_and_counts_the_rest() -> None:
    driver = Driver(tuple(f"site-{number:03}" for number in range(200)), rounds=1).asked()

    driver.do(Tick(), after_s=10**6)

    reason = driver.state.reason
    assert "0 of 200 sites answered" in reason
    assert "site-009" in reason
    assert "site-010" not in reason
    assert reason.endswith("and 190 more")


def test_a_reason_that_several_sites_have_is_stated_once() -> None:
    driver = Driver("abc", cohort={"deadline": 100, "quorum": 0.5}).asked()
    for site in "ac":
        driver.do(FailTask(1, site, "no such column.", ""))

    assert driver.state.reason.endswith("2 are needed; a and c: no such column; b: had not begun")
