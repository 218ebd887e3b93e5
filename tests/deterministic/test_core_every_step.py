"""Each process dies at each numbered step of a run: before and after every record, call and message."""

from __future__ import annotations

import pytest
from tests.deterministic.core_world import CoreWorld
from tests.deterministic.fault_plan import CALM, Shape

pytestmark = pytest.mark.slow

ROUNDS = Shape(sites=("a", "b"), rounds=2)
GIVEN = Shape(sites=("a", "b"), rounds=1, given=True, evaluate=False)
STREAM = Shape(sites=("a", "b"), rounds=2, stream=True, given=True)
SEED = 7


def in_calm(shape: Shape, *deaths: int) -> CoreWorld:
    try:
        return CoreWorld(SEED, shape=shape, fault_plan=CALM, deaths=deaths).run()
    except AssertionError as error:
        raise AssertionError(f"dying at {deaths} of {shape}: {error}") from error


def undisturbed(shape: Shape) -> CoreWorld:
    return in_calm(shape)


def models(world: CoreWorld) -> list[str]:
    return [record.body["model"] for record in world.aggregator.records() if record.kind == "RoundCommitted"]


def test_every_record_of_a_run_has_a_step_before_and_a_step_after_it() -> None:
    world = undisturbed(ROUNDS)

    records = [record.kind for record in world.aggregator.records()]
    for side in ("before", "after"):
        steps = [point.split()[2] for point in world.points if point.startswith(f"aggregator {side} ")]
        assert [kind for step in steps for kind in step.split("+")] == records


@pytest.mark.parametrize("shape", [ROUNDS, GIVEN], ids=["asked", "given"])
def test_whoever_dies_at_any_step_the_models_are_those_of_the_undisturbed_run(shape: Shape) -> None:
    calm = undisturbed(shape)

    for number in range(len(calm.points)):
        assert models(in_calm(shape, number)) == models(calm), calm.points[number]


def test_whoever_dies_at_any_step_of_a_stream_it_comes_to_its_end() -> None:
    # Which update is the first one depends on who was away: that the models follow from it is checked within.
    for number in range(len(undisturbed(STREAM).points)):
        in_calm(STREAM, number)


@pytest.mark.parametrize("apart", [1, 3])
def test_dying_again_soon_after_changes_nothing_either(apart: int) -> None:
    calm = undisturbed(GIVEN)

    for number in range(len(calm.points)):
        assert models(in_calm(GIVEN, number, number + apart)) == models(calm)
