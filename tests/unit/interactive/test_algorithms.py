"""`algorithm=` of `hanse.simulate`: the same expansion as in a plan file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.assembly.plan_file import load_plan
from hanse.errors import PlanError

Learner = Callable[[hanse.Site], Any]


class Regression:
    """Fits a slope by ten steps along its gradient, which the plan's local rules may change."""

    def __init__(self, site: hanse.Site) -> None:
        self.slope = site.data["data"]

    def parameters(self) -> dict[str, Any]:
        return {"w": np.zeros(2)}

    def train(self, parameters: dict[str, Any], task: hanse.Task) -> hanse.TaskResult:
        own = {"w": parameters["w"].copy()}
        for _ in range(10):
            gradients = task.correct({"w": own["w"] - self.slope}, own)
            own["w"] = own["w"] - 0.1 * gradients["w"]
        return hanse.TaskResult(1, {"loss": float(((own["w"] - self.slope) ** 2).sum())}, own)

    def evaluate(self, parameters: dict[str, Any], task: hanse.Task) -> hanse.TaskResult:
        return hanse.TaskResult(1, {"loss": float(((parameters["w"] - self.slope) ** 2).sum())})


SITES = {"a": 1.0, "b": 2.0, "c": 6.0}


def test_an_algorithm_changes_the_task_that_trains() -> None:
    plain = hanse.simulate(Regression, SITES, rounds=3)
    none = hanse.simulate(Regression, SITES, rounds=3, algorithm={"name": "fedprox", "mu": 0.0})
    some = hanse.simulate(Regression, SITES, rounds=3, algorithm={"name": "fedprox", "mu": 1.0})

    assert none.digest == plain.digest != some.digest
    assert some.plan.tasks["train"].local[0].name == "proximal"


def test_an_algorithm_by_its_name_alone_keeps_what_the_keywords_say() -> None:
    run = hanse.simulate(Regression, SITES, rounds=2, algorithm="scaffold", keep_best={"metric": "loss"})

    assert (run.plan.workflow, run.plan.rounds) == ("scaffold", 2)
    assert run.best is not None


def test_an_algorithm_that_says_how_many_rounds_needs_no_keyword() -> None:
    assert hanse.simulate(Regression, SITES, algorithm="one_shot").plan.rounds == 1


def test_an_algorithm_with_tasks_of_its_own_needs_no_others() -> None:
    tables = {"a": {"age": [30.0, 40.0]}, "b": {"age": [50.0]}, "c": {"age": [60.0, 70.0]}}

    run = hanse.simulate(
        lambda site: hanse.TableLearner(dict(site.data), site.options),
        tables,
        algorithm={"name": "summary", "columns": ["age"], "aggregated_by": "aggregator"},
    )

    assert "train" not in run.plan.tasks
    assert run.results["summary"]["mean"].tolist() == [50.0]


def test_an_algorithm_in_place_of_that_of_a_file(plan: Path) -> None:
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}
    momentum = {"name": "fedavgm", "lr": 1.0, "momentum": 0.5}

    run = hanse.simulate(plan, sites, algorithm=momentum)

    assert run.plan == load_plan(plan, {"algorithm": momentum}).manifest.plan
    assert run.digest != hanse.simulate(plan, sites).digest
    assert hanse.simulate(load_plan(plan), sites, algorithm=momentum).digest == run.digest


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"algorithm": "fedproxx"}, r"hanse\.simulate: algorithm: .* did you mean `fedprox`\?"),
        ({"algorithm": {"name": "fedprox", "nu": 1}}, "nu: unknown key; known here are mu"),
        ({"algorithm": "one_shot", "rounds": 3}, "stands for `rounds: 1`, and the plan has `3` there"),
        ({"algorithm": "cyclic"}, "individual"),
    ],
)
def test_what_an_algorithm_cannot_do_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        hanse.simulate(Regression, SITES, **keys)


class Personal(Regression):
    """One that has a model of its own too, and measures it in its own way."""

    def personalise(self, parameters: dict[str, Any], task: hanse.Task) -> hanse.TaskResult:
        task.correct({"w": parameters["w"]}, parameters)
        return hanse.TaskResult(1, {"distance": float(abs(parameters["w"] - self.slope).sum())})

    def finetune(self, parameters: dict[str, Any], task: hanse.Task) -> hanse.TaskResult:
        return hanse.TaskResult(1, {"distance": float(abs(parameters["w"] - self.slope).sum())})


@pytest.mark.parametrize(
    ("algorithm", "task"), [({"name": "ditto", "mu": 0.1}, "personalise"), ("fine_tuning", "finetune")]
)
def test_the_metrics_of_a_task_of_the_algorithm_are_found_out(algorithm: Any, task: str) -> None:
    run = hanse.simulate(Personal, SITES, rounds=2, algorithm=algorithm)

    assert run.plan.tasks[task].discloses.metrics == ("distance",)


def test_an_algorithm_that_shows_each_update_is_refused_with_a_line_that_keeps_the_defaults() -> None:
    with pytest.raises(PlanError) as refused:
        hanse.simulate(Regression, SITES, rounds=2, algorithm="cyclic")

    line = str(refused.value).partition("Add: tasks=")[2].removesuffix(".")
    run = hanse.simulate(Regression, SITES, rounds=2, algorithm="cyclic", tasks=json.loads(line))

    assert run.plan.tasks["train"].discloses.metrics == ("loss",)
    assert run.plan.tasks["evaluate"].discloses.metrics == ("loss",)
