"""Settings that a workflow sets at an ask."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.plan.grouped_plans import plan

from hanse.core.plan.tasks import INITIALISE
from hanse.core.plan.varying import as_stated, problem_of_settings, settings_of

PLAN = plan(
    tasks={
        "train": {
            "lr": 0.05,
            "settings": {"depth": 2, "kind": "deep"},
            "varies": {"lr": [0.01, 0.1], "depth": [1, 4], "scale": [0, 1.0]},
        }
    }
)


@pytest.mark.parametrize(
    "settings", [{}, {"lr": 0.01}, {"lr": 0.1, "depth": 4}, {"scale": 1}, {"scale": 0.5}]
)
def test_what_varies_may_be_set_up_to_both_ends(settings: dict[str, Any]) -> None:
    assert problem_of_settings(PLAN, "train", settings) == ""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"lr": 0.2}, "the setting 'lr' of task train is 0.2; by the plan it is from 0.01 to 0.1"),
        ({"lr": -1}, "is -1; by the plan"),
        ({"depth": 5}, "is 5; by the plan it is from 1 to 4"),
        ({"depth": 2.0}, "the setting 'depth' of task train has to be a whole number, not 2.0"),
        ({"depth": True}, "has to be a whole number, not True"),
        ({"scale": False}, "has to be a number, not False"),
        ({"lr": "0.05"}, "has to be a number, not '0.05'"),
        ({"lr": None}, "has to be a number, not None"),
        ({"lr": float("nan")}, "has to be a number, not nan"),
        ({"lr": float("inf")}, "has to be a number, not inf"),
        ({"depth": 10**400}, "by the plan it is from 1 to 4"),
        ({"lr": 10**400}, "by the plan it is from 0.01 to 0.1"),
        ({"kind": 1}, "does not vary by the plan; what varies: 'lr', 'depth' and 'scale'"),
        ({"epochs": 1}, "the setting 'epochs' of task train does not vary"),
    ],
)
def test_anything_else_is_refused_in_words(settings: dict[str, Any], problem: str) -> None:
    assert problem in problem_of_settings(PLAN, "train", settings)


def test_a_first_model_has_no_settings() -> None:
    assert "does not vary" in problem_of_settings(PLAN, INITIALISE, {"lr": 0.05})
    assert problem_of_settings(PLAN, INITIALISE, {}) == ""


def test_they_are_stated_in_one_way_sorted_and_as_float_unless_the_plan_has_whole_ones() -> None:
    stated = as_stated(PLAN, "train", {"scale": 1, "depth": 3})

    assert list(stated.items()) == [("depth", 3), ("scale", 1.0)]
    assert [type(value) for value in stated.values()] == [int, float]


def test_a_learning_rate_between_whole_numbers_is_a_real_number() -> None:
    varying = plan(tasks={"train": {"varies": {"lr": [1, 2], "depth": [1, 2]}}})

    assert problem_of_settings(varying, "train", {"lr": 1.5}) == ""
    assert "a whole number, not 1.5" in problem_of_settings(varying, "train", {"depth": 1.5})
    assert type(as_stated(varying, "train", {"lr": 2})["lr"]) is float


def test_the_learner_finds_them_among_those_of_the_plan() -> None:
    assert settings_of(PLAN, "train", {"depth": 3}) == {"lr": 0.05, "depth": 3, "kind": "deep"}
    assert PLAN.tasks["train"].settings["depth"] == 2
