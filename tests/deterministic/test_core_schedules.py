"""Schedules drawn from seeds, around the pure core: what is promised holds in each of them."""

from __future__ import annotations

import pytest
from tests.deterministic.core_world import CoreWorld
from tests.deterministic.fault_plan import CALM, Shape
from tests.thorough import THOROUGH

pytestmark = pytest.mark.slow

SEEDS = 200 if THOROUGH else 50
AT_ONCE = 50


@pytest.mark.parametrize("begin", range(0, SEEDS, AT_ONCE))
def test_in_any_weather_nothing_is_lost_and_every_run_comes_to_its_end(begin: int) -> None:
    for seed in range(begin, begin + AT_ONCE):
        try:
            CoreWorld(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_journal_to_the_byte(seed: int) -> None:
    assert CoreWorld(seed).run().digest() == CoreWorld(seed).run().digest()


def test_other_seeds_give_other_journals() -> None:
    assert len({CoreWorld(seed).run().digest() for seed in range(10)}) == 10


def test_in_calm_weather_the_schedule_does_not_touch_the_model() -> None:
    shape = Shape(sites=("a", "b", "c", "d"), rounds=3)

    worlds = [CoreWorld(seed, shape=shape, fault_plan=CALM).run() for seed in range(10)]

    assert len({world.aggregator.run.model for world in worlds}) == 1
    assert len({world.digest() for world in worlds}) > 1
