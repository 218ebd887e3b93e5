"""The federated model beside each hospital's own and the pooled one."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from rich.console import Console

from hanse.aggregation.fedavg import fed_avg
from hanse.cli.comparison import render
from hanse.core.plan.plan import Plan
from hanse.core.values.parameters import Parameters, add
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult, Update
from hanse.demo.comparison import POOLED, TITLES, compare
from hanse.demo.files import HEART_DISEASE, HEART_DISEASE_PLAN, HOSPITALS
from hanse.learners.base import Learner
from hanse.learners.comparison import FEDERATED, Comparison, own
from hanse.learners.perform import Ask, perform
from hanse.learners.session import LearnerSession

PLAN = Plan.model_validate(yaml.safe_load((HEART_DISEASE_PLAN / "plan.yaml").read_text()))


def federated(make_learner: Callable[[Site], Learner], scratch: Path) -> Parameters:
    """Federated averaging over the four hospitals, without a federation."""
    sessions = {
        name: LearnerSession(
            make_learner,
            Site(name, DataSources(name, {"heart": HEART_DISEASE / file})),
            scratch / name,
        )
        for name, file in sorted(HOSPITALS.items())
    }
    model = sessions["budapest"].initial_parameters()
    for number in range(1, PLAN.rounds + 1):
        answers = {
            name: perform(session, PLAN, name, Ask(number, number, "train"), model).materialize()
            for name, session in sessions.items()
        }
        updates = [Update(name, one.num_examples, one.metrics, one.update) for name, one in answers.items()]
        model = add(model, fed_avg(updates).delta)
    return model


@pytest.fixture(scope="module")
def comparison(heart_numpy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    model = federated(heart_numpy.learner, tmp_path_factory.mktemp("federated"))
    return compare(heart_numpy.learner, PLAN, model)


def test_the_federated_model_ranks_each_hospitals_patients_better_than_its_own(
    comparison: Comparison,
) -> None:
    for hospital in HOSPITALS:
        federated, alone = (comparison.scores[model][hospital] for model in (FEDERATED, own(hospital)))
        assert federated["auc"] > alone["auc"]


def test_the_federated_model_is_about_as_good_as_the_pooled_one(comparison: Comparison) -> None:
    for metric in TITLES:
        assert comparison.mean(FEDERATED, metric) == pytest.approx(comparison.mean(POOLED, metric), abs=0.01)


def test_the_federated_model_is_right_more_often_than_any_hospitals_own(comparison: Comparison) -> None:
    for hospital in HOSPITALS:
        assert comparison.mean(FEDERATED, "accuracy") > comparison.mean(own(hospital), "accuracy")


def test_every_model_is_trained_as_the_plan_says_and_from_its_own_first_model() -> None:
    asked: dict[str, list[Task]] = {}
    files: dict[str, Path] = {}

    class Counter:
        def __init__(self, site: Site) -> None:
            files[site.name] = site.data["heart"]
            self.asked = asked.setdefault(site.name, [])

        def parameters(self) -> dict[str, np.ndarray]:
            return {"rounds": np.zeros(())}

        def train(self, parameters: dict[str, np.ndarray], task: Task) -> TaskResult:
            assert parameters["rounds"] == len(self.asked)
            self.asked.append(task)
            return TaskResult(1, {}, {"rounds": parameters["rounds"] + 1})

        def evaluate(self, parameters: dict[str, np.ndarray], task: Task) -> TaskResult:
            return TaskResult(1, {"accuracy": float(parameters["rounds"])})

    comparison = compare(Counter, PLAN, {"rounds": np.zeros(())})

    own_files = {name: HEART_DISEASE / file for name, file in HOSPITALS.items()}
    assert files == own_files | {POOLED: HEART_DISEASE}
    for tasks in asked.values():
        assert [task.round_number for task in tasks] == list(range(1, PLAN.rounds + 1))
        assert all(task.settings == PLAN.tasks["train"].learner_settings() for task in tasks)
    assert len({task.seed for tasks in asked.values() for task in tasks}) == 5 * PLAN.rounds
    assert comparison.scores[POOLED]["zurich"]["accuracy"] == PLAN.rounds
    assert comparison.scores[FEDERATED]["zurich"]["accuracy"] == 0


def test_the_table_has_a_row_a_model_and_fits_a_terminal(comparison: Comparison) -> None:
    console = Console(width=80)

    with console.capture() as capture:
        console.print(render(comparison, "accuracy", TITLES["accuracy"]))

    lines = capture.get().splitlines()
    assert all(any(model in line for line in lines) for model in comparison.scores)
    assert "(16)" in capture.get()
