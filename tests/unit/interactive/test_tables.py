"""Statistics by `hanse.simulate`: what their runs, errors and tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hanse
from hanse.errors import PlanError, QuorumError
from hanse.interactive.simulated_run import SimulatedRun

SEX = {"column": "sex", "categories": ["f", "m"]}
LOGISTIC = {
    "name": "logistic_regression",
    "features": ["age", SEX],
    "outcome": {"column": "ill", "categories": [0, 1]},
    "aggregated_by": "aggregator",
}
SUMMARY = {"name": "summary", "columns": ["t", "age"], "aggregated_by": "aggregator"}


def table(seed: int, **changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    age = random.normal(60, 10, 80)
    columns = {
        "age": age,
        "sex": random.choice(["f", "m"], 80),
        "ill": (random.random(80) < 1 / (1 + np.exp((60 - age) / 10))).astype(int),
        "t": random.integers(1, 5, 80),
    }
    return {"data": columns | changes}


def learner(site: hanse.Site) -> hanse.TableLearner:
    return hanse.TableLearner(site.data["data"], site.options)


def simulate(algorithm: dict[str, Any], **sites: Any) -> SimulatedRun:
    return hanse.simulate(learner, sites or {"a": table(1), "b": table(2)}, algorithm=algorithm)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [(LOGISTIC, "the plan has no task 'train'"), (SUMMARY, "by the plan the run has none")],
)
def test_baselines_of_statistics_are_refused(algorithm: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        simulate(algorithm).baselines()


def test_the_history_has_no_rounds_that_asked_nothing() -> None:
    run = simulate(LOGISTIC)

    assert len(run.history["round"]) == run.results["logistic_regression_fit"]["rounds"]


def test_an_error_in_the_data_is_told_once_without_lines_of_hanse() -> None:
    with pytest.raises(QuorumError) as caught:
        simulate(SUMMARY, a=table(1, age=np.full(80, np.nan)), b=table(2))

    assert str(caught.value).count("there are rows without a value in 'age' (80 rows)") == 1
    assert "table.py" not in str(caught.value)
    assert not getattr(caught.value, "__notes__", [])
