"""Ditto, beside the pseudocode of its paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, descended, examples, gradient, loss, rows, run

from hanse.core.plan.plan import Plan

CODE = """
class Ditto(Linear):
    own = None

    def local_state(self):
        return {} if self.own is None else {"own": {"w": self.own}}

    def restore_local_state(self, state):
        self.own = np.array(state["own"]["w"])

    def personalise(self, parameters, task):
        v = parameters["w"] if self.own is None else self.own
        for _ in range(2):
            slope = task.correct({"w": gradient(v, self.x, self.y)}, {"w": v})
            v = v - 0.05 * slope["w"]
        self.own = v
        return hanse.TaskResult(len(self.y), {"loss": loss(v, self.x, self.y)})


def learner(site):
    return Ditto(site.name)
"""
TASKS = {"train": {"lr": 0.05, "epochs": 2, "discloses": AGGREGATE}}


def test_common_and_personal_models_are_those_of_algorithm_1(tmp_path: Path) -> None:
    outcome, _ = run(
        tmp_path,
        CODE,
        algorithm={"name": "ditto", "mu": 0.3},
        metric_digits=17,
        tasks=TASKS,
    )

    w, own = np.zeros(3), {site: np.zeros(3) for site in SITES}
    weights = [examples(site) for site in SITES]
    for _ in range(4):
        for site in SITES:
            for _ in range(2):
                own[site] = own[site] - 0.05 * (gradient(own[site], *rows(site)) + 0.3 * (own[site] - w))
        w = np.average([descended(w, site, 0.05, 2) for site in SITES], axis=0, weights=weights)
    losses = [loss(own[site], *rows(site)) for site in SITES]
    assert outcome.model is not None
    close(outcome.model["w"], w)
    close(outcome.run.metrics["personal_loss"], np.average(losses, weights=weights))


def test_a_plan_that_discloses_the_personal_models_is_refused() -> None:
    with pytest.raises(ValueError, match="ditto needs `personalise` to disclose no update: `none`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "ditto",
                "tasks": {**TASKS, "personalise": {"discloses": {"update": "individual"}}},
            }
        )
