"""IFCA, beside the pseudocode of its paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import SITES, close, descended, loss, rows, run

from hanse.algorithms.personalisation.ifca import ifca_answer, merged
from hanse.core.plan.plan import Plan
from hanse.errors import WorkflowError

CODE = """
from hanse.algorithms.personalisation.ifca import chosen, ifca_answer


class Clustered(Linear):
    def parameters(self):
        return {"w": np.array([[0.1, 0.0, 0.0], [-0.1, 0.5, 0.0]])}

    def train(self, parameters, task):
        losses = [loss(w, self.x, self.y) for w in parameters["w"]]
        model = chosen(losses)
        trained = self.descended(parameters["w"][model], task)
        groups = ifca_answer(parameters, model, {"w": trained})
        return hanse.TaskResult(len(self.y), {"loss": min(losses)}, groups=groups)


def learner(site):
    return Clustered(site.name)
"""
TRAIN = {"lr": 0.05, "epochs": 3, "discloses": {"aggregated_by": "aggregator", "metrics": ["loss"]}}


def algorithm_1(rounds: int) -> Any:
    theta = np.array([[0.1, 0.0, 0.0], [-0.1, 0.5, 0.0]])
    for _ in range(rounds):
        picked = [int(np.argmin([loss(w, *rows(site)) for w in theta])) for site in SITES]
        trained = [descended(theta[j], site, 0.05, 3) for j, site in zip(picked, SITES, strict=True)]
        for j in range(2):
            of_j = [w for w, other in zip(trained, picked, strict=True) if other == j]
            theta[j] = np.mean(of_j, axis=0) if of_j else theta[j]
    return theta, picked


def test_the_models_are_those_of_algorithm_1(tmp_path: Path) -> None:
    outcome, _ = run(
        tmp_path,
        CODE,
        algorithm={"name": "ifca", "models": 2},
        tasks={"train": TRAIN},
    )

    theta, picked = algorithm_1(4)
    assert set(picked) == {0, 1}  # both are trained, or the test would say little
    assert outcome.model is not None
    close(outcome.model["w"], theta)
    assert np.asarray(outcome.results["members"]).tolist() == [picked.count(0), picked.count(1)]


def test_a_model_that_no_site_picked_stays() -> None:
    models = {"w": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}
    given: Any = ifca_answer(models, 0, {"w": np.array([2.0, 2.0])})

    assert merged(models, given["clusters"], given["members"])["w"].tolist() == [[2.0, 2.0], [3.0, 4.0]]


def test_tensors_without_an_axis_of_the_models_are_refused() -> None:
    with pytest.raises(WorkflowError, match="'w' has no first axis of the 2 models"):
        merged({"w": np.zeros(3)}, {"w": np.zeros(3)}, np.ones(2))


def test_a_plan_that_does_not_disclose_the_clusters_is_refused() -> None:
    with pytest.raises(ValueError, match="workflow ifca needs `train` to disclose the group `clusters`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "ifca",
                "tasks": {"train": {}},
            }
        )
