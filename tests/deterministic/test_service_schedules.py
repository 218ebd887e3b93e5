"""Schedules drawn from seeds, of the real service and agents: what is promised holds in each of them."""

from __future__ import annotations

import pytest
from tests.deterministic.fault_plan import CALM, Shape
from tests.deterministic.service_world import ServiceWorld

pytestmark = pytest.mark.slow

SEEDS = 40
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
