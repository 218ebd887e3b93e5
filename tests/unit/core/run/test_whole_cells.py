"""Rounds of a plan with secure aggregation: they ask whole cells, also when sites rest or have left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.core.run.runs import MODEL, Driver

from hanse.core.run.events import Event
from hanse.core.run.evolve import evolve
from hanse.core.run.failure_streaks import FailureStreak
from hanse.core.run.lifecycle import Leave
from hanse.core.run.requests.commands import Commit, OpenRound
from hanse.core.run.round_events import RoundOpened
from hanse.core.run.run import Phase
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.values.sorted_map import SortedMap

PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "initial_model": "workflow",
    "rounds": 20,
    "cells": {"north": ["a", "b", "c"], "south": ["d", "e", "f"]},
    "aggregation": {"rule": "mean"},
    "privacy": {"secure_aggregation": {"model": {"clip": 1.0}, "incomplete": "leave_out"}},
    "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "secure_aggregation"}}},
}
RULES: dict[str, Any] = {"deadline": 100, "set_aside_after": 2, "rest": "3 rounds", "quorum": 0.5}


def begun(**rules: Any) -> Driver:
    driver = Driver("abcdef", **PLAN, cohort={"minimum": 3} | RULES | rules).started()
    driver.do(OpenRound(0))
    driver.do(Commit(0, MODEL))
    return driver


def happen(driver: Driver, event: Event) -> None:
    driver.run = evolve(driver.run, event, driver.now_ms)


def cohort(driver: Driver) -> tuple[str, tuple[str, ...]]:
    """Sites of the round that is opened, and who of them rests."""
    driver.do(OpenRound(driver.state.committed + 1))
    opened = driver.history[-1][0]
    assert isinstance(opened, RoundOpened)
    return "".join(opened.cohort), opened.suspended


def failing(driver: Driver, *sites: str) -> list[type[Event]]:
    """Commit a round after which these sites have failed often enough to be suspended."""
    streaks = SortedMap({site: FailureStreak(2, "train: out of memory") for site in sites})
    driver.do(OpenRound(driver.state.committed + 1))
    record = replace(driver.state.failure_record, streaks=streaks)
    driver.run = replace(driver.state, failure_record=record)
    before = len(driver.history)
    driver.do(Commit(driver.state.committed + 1, MODEL))
    return [type(event) for event, _ in driver.history[before + 1 :]]


def test_a_round_asks_all_cells() -> None:
    assert cohort(begun()) == ("abcdef", ())


def test_a_cell_of_which_a_member_is_suspended_is_not_asked() -> None:
    driver = begun()
    happen(driver, SiteSuspended(site="e", round_number=0, reason="it failed"))
    assert cohort(driver) == ("abc", ("e",))


def test_a_cell_of_which_a_member_left_is_not_asked() -> None:
    driver = begun()
    driver.do(Leave("b", "maintenance"))
    assert cohort(driver) == ("def", ())


def test_a_run_without_a_whole_cell_fails_and_says_so() -> None:
    driver = begun()
    for site in ("a", "d"):
        driver.do(Leave(site, "maintenance"))
    driver.do(OpenRound(1))
    assert driver.state.phase is Phase.FAILED
    assert driver.state.reason == (
        "round 1: the plan needs 3 sites, 0 take part in whole cells; a left: maintenance; d left: "
        "maintenance"
    )


def test_a_site_is_suspended_only_if_a_whole_cell_is_left() -> None:
    assert failing(begun(), "a", "b", "d") == [SiteSuspended, SiteSuspended, SuspensionWaived]


def test_sites_are_reinstated_until_a_whole_cell_is_there() -> None:
    driver = begun()
    for site in ("a", "d"):
        happen(driver, SiteSuspended(site=site, round_number=0, reason="it failed"))
    assert cohort(driver) == ("abc", ("d",))
    back = [event for event, _ in driver.history if isinstance(event, SiteReinstated)]
    assert [(event.site, event.reason) for event in back] == [
        ("a", "without it 0 would be left to ask, and 3 are needed")
    ]
