"""Metrics of a model at the sites, of binned scores too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.unit.algorithms.runs import AGGREGATE, SITES, rows, run

from hanse.core.plan.built_in import POOLED_METRICS, committed_metrics
from hanse.core.plan.plan import Plan
from hanse.workflow.pooled import pooled_metrics

CODE = """
class Scored(Linear):
    def evaluate(self, parameters, task):
        scores = 1 / (1 + np.exp(-self.x @ parameters["w"]))
        histogram = hanse.binned_scores(scores, self.y > 0, 4096)
        return hanse.TaskResult(len(self.y), {}, groups={"scores": histogram})


def learner(site):
    return Scored(site.name)
"""
PLAN: dict[str, Any] = {
    "groups": {"scores": {"pooled": "binary", "bins": 4096}},
    "tasks": {
        "train": {"lr": 0.05, "epochs": 3, "discloses": AGGREGATE},
        "evaluate": {"discloses": {"aggregated_by": "aggregator", "groups": {"scores": "total"}}},
    },
    "keep_best": {"metric": "scores.auc"},
}


@pytest.mark.sklearn
def test_the_area_under_the_curve_is_that_of_all_sites_examples_together(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, **PLAN)

    assert outcome.model is not None
    x, y = (np.concatenate(part) for part in zip(*map(rows, SITES), strict=True))
    expected = roc_auc_score(y > 0, 1 / (1 + np.exp(-x @ outcome.model["w"])))
    metrics = outcome.run.metrics
    assert abs(metrics["scores.auc"] - expected) <= metrics["scores.auc_bound"] < 0.01
    assert outcome.run.best is not None


def test_a_goal_may_look_at_every_metric_of_binned_scores() -> None:
    named = {"name": "trial", "code": ["sites.py"], "learner": "sites:learner"}
    plan = Plan.model_validate({**named, **PLAN})

    found = pooled_metrics("scores", np.ones((2, 8), np.int64))

    assert found.keys() == committed_metrics("fedavg", plan.tasks, plan.group_specs) - {"loss"}
    assert len(POOLED_METRICS) == 3
