"""Schedules drawn from seeds, of sites whose sums are masked: the vectors of an exchange are one each."""

from __future__ import annotations

from random import Random

import pytest
from tests.deterministic.fault_plan import CALM, Shape
from tests.deterministic.service_world import ServiceWorld, drawn_fault_plan
from tests.deterministic.test_service_every_step import SAME
from tests.thorough import THOROUGH, sample

pytestmark = pytest.mark.slow

SHAPE = Shape(rounds=1, minimum=3, evaluate=False, given=True, secure=True)
SEEDS = 32 if THOROUGH else 8
AT_ONCE = 16


@pytest.mark.parametrize("begin", range(0, SEEDS, AT_ONCE))
def test_in_any_weather_each_exchange_has_one_vector_and_the_sum_is_right(begin: int) -> None:
    for seed in range(begin, begin + AT_ONCE):
        try:
            ServiceWorld(seed, shape=SHAPE, fault_plan=drawn_fault_plan(Random(seed))).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_in_calm_weather_the_schedule_changes_a_masked_sum_by_its_rounding_at_most() -> None:
    worlds = [ServiceWorld(seed, shape=SHAPE, fault_plan=CALM).run() for seed in range(3)]

    assert all(len(world.committed()) == 2 for world in worlds)


@pytest.mark.parametrize("process", ["agent a", "aggregator", "aggregator worker of aggregator"])
def test_whoever_dies_at_any_step_of_a_masked_sum_its_vectors_are_one_each(process: str) -> None:
    calm = ServiceWorld(3, shape=SHAPE, fault_plan=CALM).run()
    steps = [
        number
        for number, point in enumerate(calm.points)
        if point.startswith(f"{process}: ") and not point.endswith(SAME)
    ]

    assert len(steps) >= 10
    for number in sample(steps, 8):
        try:
            ServiceWorld(3, shape=SHAPE, fault_plan=CALM, deaths=[number]).run()
        except AssertionError as error:
            raise AssertionError(f"{calm.points[number]}: {error}") from error


@pytest.mark.parametrize("what", ["sum-ready", "sum-roster", "deliver", "result"])
def test_an_answer_that_never_comes_costs_a_repetition_and_no_attempt(what: str) -> None:
    world = ServiceWorld(5, shape=SHAPE, fault_plan=CALM, unanswered=[("a", what)]).run()

    kinds = [record.kind for record in world.aggregator.records()]
    asked = [kind for site, kind, _ in world.sent if site == "a"]
    assert asked.count(what) == 2
    assert "SumAttempted" not in kinds
    assert len(world.committed()) == 2
