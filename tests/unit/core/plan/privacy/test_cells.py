"""Cells of a plan, and which of its tasks are summed masked."""

import pytest
from tests.unit.core.plan.plans import plan
from tests.unit.core.plan.privacy.secure_plans import TRAIN, secure_plan

from hanse.core.plan.privacy.cells import (
    cell_of,
    colluders_of,
    is_secure,
    largest_cell,
    masks,
    members_of,
    weighs,
)
from hanse.core.plan.tasks import INITIALISE
from hanse.errors import PlanError

TWO_CELLS = {"north": ["a", "b", "c", "d"], "south": ["e", "f", "g", "h", "i", "j", "k"]}
EVALUATE = {"discloses": {"metrics": ["loss"]}}


def test_a_site_belongs_to_the_cell_that_names_it() -> None:
    agreed = secure_plan(cells=TWO_CELLS)
    assert cell_of(agreed, "f") == "south"
    assert members_of(agreed, "north") == ("a", "b", "c", "d")


def test_members_are_sorted_however_the_plan_lists_them() -> None:
    assert members_of(secure_plan(), "all") == ("a", "b", "c", "d")


def test_a_stranger_and_an_unknown_cell_are_refused() -> None:
    with pytest.raises(PlanError, match="z is in no cell of the plan"):
        cell_of(secure_plan(), "z")
    with pytest.raises(PlanError, match="no cell 'east'; it has: all"):
        members_of(secure_plan(), "east")


def test_the_grid_counts_the_largest_cell_and_colluders_the_smallest() -> None:
    agreed = secure_plan(cells=TWO_CELLS)
    assert largest_cell(agreed) == 7
    assert colluders_of(agreed) == 1


@pytest.mark.parametrize(("members", "colluders"), [(4, 1), (6, 1), (7, 2), (10, 3)])
def test_a_third_of_the_others_may_collude_unless_the_plan_says_how_many(
    members: int, colluders: int
) -> None:
    names = [f"site-{number}" for number in range(members)]
    section = {"examples": {"least": 100, "most": 100}}
    assert colluders_of(secure_plan(section, cells={"all": names})) == colluders
    assert colluders_of(secure_plan(section | {"colluders": 2}, cells={"all": names})) == 2


def test_a_plan_without_the_section_masks_nothing() -> None:
    assert not is_secure(plan(), "train")
    assert not masks(plan(), "train")


def test_each_task_of_a_plan_with_the_section_is_masked_unless_in_the_open() -> None:
    tasks = {"train": TRAIN, "evaluate": EVALUATE}
    masked = secure_plan(tasks=tasks)
    shown = secure_plan({"in_the_open": ["evaluate"]}, tasks=tasks)
    assert [masks(masked, task) for task in ("train", "evaluate", INITIALISE)] == [True, True, False]
    assert [masks(shown, task) for task in ("train", "evaluate")] == [True, False]
    assert [is_secure(masked, task) for task in ("train", "evaluate")] == [True, False]


def test_an_update_weighs_by_the_rule_of_the_plan_and_metrics_alone_do_not() -> None:
    tasks = {"train": TRAIN, "evaluate": EVALUATE}
    assert weighs(secure_plan(tasks=tasks), "train")
    assert not weighs(secure_plan(tasks=tasks), "evaluate")
    alike = secure_plan({"examples": None}, tasks=tasks, aggregation={"rule": "mean"})
    assert not weighs(alike, "train")
