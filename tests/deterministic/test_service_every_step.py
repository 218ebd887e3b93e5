"""Each process of a real run dies at each numbered step, in memory; `tests/faults` kills real ones.

Steps are before and after: every append to the journal, every piece of work on a thread (a blob stored, a
file checked, a worker's message written), every request of an agent, every message of a worker. Without
THOROUGH=1 some of them, always the same; `tests/faults/test_every_step.py` strikes real processes.
"""

from __future__ import annotations

from functools import cache

import pytest
from tests.deterministic.fault_plan import CALM, Shape
from tests.deterministic.service_world import ServiceWorld
from tests.thorough import sample

pytestmark = pytest.mark.slow

SHAPE = Shape(sites=("a", "b"), rounds=1, given=True)
SEED = 3


def in_calm(*deaths: int) -> ServiceWorld:
    try:
        return ServiceWorld(SEED, shape=SHAPE, fault_plan=CALM, deaths=deaths).run()
    except AssertionError as error:
        raise AssertionError(f"dying at {deaths}: {error}") from error


@cache
def undisturbed() -> ServiceWorld:
    return in_calm()


# Between the end of one thing that a process does and the beginning of the next nothing of it changes on a
# disk, so that dying before the next is dying after this one; only appends to the journal have both sides.
SAME = ("before work on a thread", "before hello", "before next", "before progress", "before fetch")


def steps_of(process: str) -> list[int]:
    return [
        number
        for number, point in enumerate(undisturbed().points)
        if point.startswith(f"{process}: ") and not point.endswith(SAME)
    ]


@pytest.mark.parametrize(
    "process",
    [
        "aggregator",
        "aggregator worker of aggregator",
        "collaborator worker of agent a",
        "collaborator worker of agent b",
    ],
)
def test_whoever_dies_at_any_step_the_models_are_those_of_the_undisturbed_run(process: str) -> None:
    calm = undisturbed()

    for number in sample(steps_of(process), 12):
        assert in_calm(number).committed() == calm.committed(), calm.points[number]


def test_whichever_agent_dies_at_any_step_the_models_are_those_of_the_undisturbed_run() -> None:
    calm = undisturbed()
    # Both do the same, so that half of the steps of each are all steps of an agent.
    numbers = steps_of("agent a")[::2] + steps_of("agent b")[1::2]
    assert len(numbers) > 60

    for number in sample(numbers, 15):
        assert in_calm(number).committed() == calm.committed(), calm.points[number]


def test_every_record_of_a_run_has_a_step_before_and_a_step_after_it() -> None:
    calm = undisturbed()
    kinds = [record.kind for record in calm.aggregator.records()]

    for side in ("before", "after"):
        begin = f"aggregator: {side} "
        steps = [point.removeprefix(begin) for point in calm.points if point.startswith(begin)]
        written = [step.split("+") for step in steps if step != "work on a thread"]
        assert [kind for step in written for kind in step] == kinds


def test_every_record_of_a_sites_journal_has_a_step_before_and_a_step_after_it() -> None:
    calm = undisturbed()

    for name, site in calm.sites.items():
        first, *kinds = site.kinds
        assert first == "SiteJournalBegun"
        for side in ("before", "after"):
            begin = f"agent {name}: {side} "
            steps = [point.removeprefix(begin) for point in calm.points if point.startswith(begin)]
            assert [step for step in steps if step.endswith("Released")] == kinds
