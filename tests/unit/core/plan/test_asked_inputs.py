"""What an ask sends, held against the plan."""

from __future__ import annotations

import pytest
from tests.unit.core.plan.grouped_plans import plan

from hanse.core.plan.asked_inputs import problem_of_ask, within_cells
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs

DIGEST = "a" * 64
PLAN = plan(
    groups={"edges": {"float64": [2]}},
    cells={"north": ["a", "b", "c"], "south": ["d", "e", "f"]},
    tasks={
        "train": {"varies": {"lr": [0.01, 0.1]}},
        "count": {"receives": ["edges"]},
        "ping": {"receives": []},
    },
)
EDGES = {"edges": DIGEST}


@pytest.mark.parametrize(
    ("task", "inputs", "has_model"),
    [
        ("train", NOTHING_BESIDE, True),
        ("train", AskInputs(settings={"lr": 0.1}), True),
        ("count", AskInputs(EDGES), False),
        ("count", AskInputs(EDGES, cells=("north",)), False),
        ("count", AskInputs(EDGES, cells=("north", "south")), False),
        ("ping", NOTHING_BESIDE, False),
        (INITIALISE, NOTHING_BESIDE, False),
    ],
)
def test_what_the_plan_says_is_sent(task: str, inputs: AskInputs, has_model: bool) -> None:
    assert problem_of_ask(PLAN, task, inputs, has_model=has_model) == ""


@pytest.mark.parametrize(
    ("task", "inputs", "has_model", "problem"),
    [
        ("train", NOTHING_BESIDE, False, "'train' is asked without a model; by the plan it receives model"),
        ("count", AskInputs(EDGES), True, "'count' is asked with a model; by the plan it receives edges"),
        ("ping", NOTHING_BESIDE, True, "'ping' is asked with a model; by the plan it receives nothing"),
        (INITIALISE, NOTHING_BESIDE, True, "is asked with a model; by the plan it receives nothing"),
        ("count", NOTHING_BESIDE, False, "is asked with the groups none; by the plan it receives edges"),
        ("train", AskInputs(EDGES), True, "is asked with the groups edges; by the plan it receives none"),
        (INITIALISE, AskInputs(EDGES), False, "is asked with the groups edges"),
        ("train", AskInputs(settings={"lr": 1.0}), True, "the setting 'lr' of task train is 1.0"),
        ("ping", AskInputs(settings={"lr": 0.1}), False, "does not vary by the plan"),
        ("count", AskInputs(EDGES, cells=("west",)), False, "the cell 'west'; the plan's cells are: north"),
        ("count", AskInputs(EDGES, cells=()), False, "no cell, or one twice"),
        ("count", AskInputs(EDGES, cells=("north", "north")), False, "no cell, or one twice"),
        ("count", AskInputs(EDGES, cells=("south", "north")), False, "no cell, or one twice"),
    ],
)
def test_anything_else_is_refused_in_words(
    task: str, inputs: AskInputs, has_model: bool, problem: str
) -> None:
    assert problem in problem_of_ask(PLAN, task, inputs, has_model=has_model)


def test_a_plan_without_cells_has_none_to_ask() -> None:
    bare = plan(tasks={"ping": {"receives": []}})

    told = problem_of_ask(bare, "ping", AskInputs(cells=("north",)), has_model=False)
    assert "the cell 'north'; the plan's cells are: none" in told


def test_an_ask_is_for_the_sites_of_its_cells() -> None:
    assert within_cells(PLAN, "abdx", ("north",)) == ("a", "b")
    assert within_cells(PLAN, "abdx", None) == ("a", "b", "d")
    assert within_cells(plan(), "abdx", None) == ("a", "b", "d", "x")
