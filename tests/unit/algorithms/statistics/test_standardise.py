"""Standardisation, then training, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from tests.tables import around_means, heart, pooled
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, examples, rows, run

from hanse.algorithms.statistics import standardise
from hanse.algorithms.statistics.standardise import StandardiseSettings, solve, standardised
from hanse.core.plan.plan import Plan
from hanse.core.run.round_events import RoundCommitted

CODE = """
from hanse.algorithms.statistics.standardise import standardised


class Scaled(Linear):
    def measure(self, parameters, task):
        columns = {"abc"[place]: self.x[:, place] for place in range(3)}
        return hanse.TableLearner(columns, self.options).measure(parameters, task)

    def train(self, parameters, task):
        x, w = standardised(self.x, task.groups["scaler"]), parameters["w"]
        w = w - 0.1 * gradient(w, x, self.y)
        return hanse.TaskResult(len(self.y), {"loss": loss(w, x, self.y)}, {"w": w})

    def evaluate(self, parameters, task):
        x = standardised(self.x, task.groups["scaler"])
        return hanse.TaskResult(len(self.y), {"loss": loss(parameters["w"], x, self.y)})


def learner(site):
    made = Scaled(site.name)
    made.options = site.options
    return made
"""
TASKS: dict[str, Any] = {
    "train": {"discloses": AGGREGATE},
    "evaluate": {"receives": ["model", "scaler"], "discloses": {"metrics": ["loss"]}},
}
ALGORITHM = {
    "name": "standardise_then_train",
    "columns": ["a", "b", "c"],
    "aggregated_by": "aggregator",
}


@pytest.mark.sklearn
def test_the_scaler_is_that_of_the_pooled_rows() -> None:
    names = ("age", "chol", "oldpeak")
    settings = StandardiseSettings(columns=names, aggregated_by="aggregator")

    sums, centre = around_means(heart(), standardise, settings)
    scaler = solve(sums, centre)

    data = pooled(heart())
    theirs = StandardScaler().fit(np.stack([data[name] for name in names], axis=1))
    np.testing.assert_allclose(scaler["mean"], theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(scaler["sd"], theirs.scale_, rtol=1e-10)


def test_training_is_federated_averaging_on_the_standardised_rows(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, algorithm=ALGORITHM, tasks=TASKS)

    whole = np.concatenate([rows(site)[0] for site in SITES])
    w, weights = np.zeros(3), [examples(site) for site in SITES]
    for _ in range(4):
        trained = []
        for site in SITES:
            x, y = (rows(site)[0] - whole.mean(axis=0)) / whole.std(axis=0), rows(site)[1]
            trained.append(w - 0.1 * 2 * x.T @ (x @ w - y) / len(y))
        w = np.average(trained, axis=0, weights=weights)
    assert outcome.model is not None
    close(outcome.model["w"], w)
    assert "loss" in outcome.run.metrics


def test_each_round_has_what_early_stop_and_keep_best_look_at(tmp_path: Path) -> None:
    goals = {
        "keep_best": {"metric": "loss", "mode": "min"},
        "early_stop": {"metric": "loss", "mode": "min", "patience": 2},
    }

    outcome, events = run(tmp_path, CODE, algorithm=ALGORITHM, tasks=TASKS, **goals)

    committed = [event for event in events if isinstance(event, RoundCommitted) and event.round_number]
    assert [("loss" in event.metrics, "scaler" in event.results) for event in committed] == [
        (True, True),
        (True, False),
        (True, False),
        (True, False),
    ]
    assert outcome.run.best


def test_a_constant_column_is_not_divided() -> None:
    settings = StandardiseSettings(columns=("a",), aggregated_by="aggregator")
    sites = {"x": {"a": np.full(7, 0.1)}, "y": {"a": np.full(6, 0.1)}}

    sums, centre = around_means(sites, standardise, settings)
    scaler = solve(sums, centre)

    assert scaler["sd"].tolist() == [1.0]
    assert standardised(np.full((2, 1), 0.1), scaler) == pytest.approx(0)


def test_a_plan_that_does_not_disclose_the_sums_is_refused() -> None:
    with pytest.raises(ValueError, match="needs `measure` to disclose the group `columns`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "standardise_then_train",
                "tasks": {"train": {"discloses": AGGREGATE}, "measure": {}},
            }
        )
