"""FedPer and FedBN, beside the pseudocode of their papers: both keep tensors at the sites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, examples, rows, run

from hanse.algorithms.presets import expanded
from hanse.config.document import Document
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

CODE = """
class Headed(Linear):
    def parameters(self):
        return {"body.w": np.zeros(3), "head.b": np.zeros(())}

    def train(self, parameters, task):
        w, b = parameters["body.w"], parameters["head.b"]
        for _ in range(task.settings["epochs"]):
            error = self.x @ w + b - self.y
            w, b = w - 0.05 * 2 * self.x.T @ error / len(error), b - 0.05 * 2 * error.mean()
        loss = float(np.mean((self.x @ w + b - self.y) ** 2))
        return hanse.TaskResult(len(self.y), {"loss": loss}, {"body.w": w, "head.b": np.asarray(b)})


def learner(site):
    return Headed(site.name)
"""
TASKS = {"train": {"epochs": 3, "discloses": AGGREGATE}}
NAMED = {"name": "trial", "code": ["sites.py"], "learner": "sites:learner", "tasks": TASKS}


def algorithm_1(rounds: int) -> Any:
    """Algorithms 1 and 2 of FedPer: base layers are averaged by examples, the personal layer stays."""
    w, own = np.zeros(3), dict.fromkeys(SITES, 0.0)
    weights = [examples(site) for site in SITES]
    for _ in range(rounds):
        bodies = []
        for site in SITES:
            (x, y), body, b = rows(site), w, own[site]
            for _ in range(3):
                error = x @ body + b - y
                body, b = body - 0.05 * 2 * x.T @ error / len(y), b - 0.05 * 2 * error.mean()
            own[site] = b
            bodies.append(body)
        w = np.average(bodies, axis=0, weights=weights)
    return w


def test_the_common_layers_are_those_of_the_papers_algorithms(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, algorithm={"name": "fedper", "tensors": ["head.*"]}, tasks=TASKS)

    assert outcome.model is not None
    assert outcome.model.keys() == {"body.w"}
    close(outcome.model["body.w"], algorithm_1(4))


@pytest.mark.parametrize("name", ["fedper", "fedbn"])
def test_the_tensors_are_personal_in_the_plan(name: str) -> None:
    text = f"algorithm: {{name: {name}, tensors: ['*.bn*', 'head.*']}}"
    document = Document.of(text, "plan.yaml", PlanError)
    whole = Document("plan.yaml", {**NAMED, **document.value}, document.lines, PlanError)

    plan = expanded(whole).check(Plan)

    assert plan == Plan.model_validate({**NAMED, "personal": ["*.bn*", "head.*"]})


def test_other_personal_tensors_of_the_author_are_a_contradiction() -> None:
    value = {**NAMED, "algorithm": {"name": "fedbn", "tensors": ["*.bn*"]}, "personal": ["head.*"]}

    with pytest.raises(PlanError, match="algorithm fedbn stands for `personal"):
        expanded(Document("plan.yaml", value, {}, PlanError))
