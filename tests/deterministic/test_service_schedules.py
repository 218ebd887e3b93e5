"""Schedules drawn from seeds, of the real service and agents: what is promised holds in each of them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from tests.deterministic.fault_plan import CALM, FaultPlan, Shape
from tests.deterministic.service_world import ServiceWorld, drawn_fault_plan, drawn_shape
from tests.thorough import THOROUGH

pytestmark = pytest.mark.slow

SEEDS = 40 if THOROUGH else 10
AT_ONCE = 20


@pytest.mark.parametrize("begin", range(0, SEEDS, AT_ONCE))
def test_in_any_weather_nothing_is_lost_and_every_run_comes_to_its_end(begin: int) -> None:
    for seed in range(begin, begin + AT_ONCE):
        try:
            ServiceWorld(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("seed", [0, 5, 11])
def test_the_same_seed_gives_the_same_journal(seed: int) -> None:
    assert ServiceWorld(seed).run().digest() == ServiceWorld(seed).run().digest()


def test_in_calm_weather_the_schedule_does_not_touch_the_model() -> None:
    shape = Shape(sites=("a", "b", "c"), rounds=2)

    worlds = [ServiceWorld(seed, shape=shape, fault_plan=CALM).run() for seed in range(5)]

    assert len({world.committed() for world in worlds}) == 1
    assert len({world.digest() for world in worlds}) > 1


def test_in_any_weather_workers_may_be_ended_as_soon_as_they_are_idle() -> None:
    for seed in range(AT_ONCE):
        random = Random(seed)
        shape = replace(drawn_shape(random), idle=1.0)
        try:
            ServiceWorld(seed, shape=shape, fault_plan=drawn_fault_plan(random)).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_idle_workers_that_are_ended_do_not_touch_the_model() -> None:
    shape, slow = Shape(sites=("a", "b", "c"), rounds=2), FaultPlan(lasts_s=15.0)

    kept = ServiceWorld(1, shape=shape, fault_plan=slow).run()
    ended = ServiceWorld(1, shape=replace(shape, idle=1.0), fault_plan=slow).run()

    assert ended.committed() == kept.committed()
    assert len(ended.workers.started) > len(kept.workers.started) >= 3
