"""FedNova, beside the formula of its paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, descended, examples, run

from hanse.core.plan.plan import Plan

CODE = """
class Nova(Linear):
    def train(self, parameters, task):
        w = parameters["w"]
        for _ in range(len(self.y) // 5):  # another number of steps at each site
            slope = task.correct({"w": gradient(w, self.x, self.y)}, {"w": w})
            w = w - task.settings["lr"] * slope["w"]
        return hanse.TaskResult(len(self.y), {"loss": loss(w, self.x, self.y)}, {"w": w})


def learner(site):
    return Nova(site.name)
"""
PLAN: dict[str, Any] = {
    "algorithm": "fednova",
    "tasks": {"train": {"lr": 0.05, "discloses": AGGREGATE}},
}


def test_the_model_is_that_of_the_papers_formula(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, **PLAN)

    x, shares = np.zeros(3), np.array([examples(site) for site in SITES], float)
    shares /= shares.sum()
    for _ in range(4):
        steps = np.array([examples(site) // 5 for site in SITES])
        changes = [(descended(x, site, 0.05, n) - x) / n for site, n in zip(SITES, steps, strict=True)]
        x = x + (shares @ steps) * (shares @ np.array(changes))
    assert outcome.model is not None
    close(outcome.model["w"], x)


def test_the_step_is_that_of_the_plans_server_optimiser(tmp_path: Path) -> None:
    optimizer = {"server_optimizer": {"name": "sgd", "lr": 0.5}}

    outcome, _ = run(tmp_path, CODE, **PLAN, aggregation=optimizer, rounds=1)

    shares = np.array([examples(site) for site in SITES], float)
    steps = np.array([examples(site) // 5 for site in SITES])
    changes = [descended(np.zeros(3), site, 0.05, n) / n for site, n in zip(SITES, steps, strict=True)]
    expected = 0.5 * np.average(steps, weights=shares) * np.average(changes, axis=0, weights=shares)
    assert outcome.model is not None
    close(outcome.model["w"], expected)


def test_a_plan_that_does_not_disclose_the_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="workflow fednova needs `train` to disclose the group `steps`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "fednova",
                "tasks": {"train": {"discloses": AGGREGATE}},
            }
        )
