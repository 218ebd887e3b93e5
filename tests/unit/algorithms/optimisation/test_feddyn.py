"""FedDyn, beside the pseudocode of its paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, cohorts, gradient, rows, run

from hanse.algorithms.optimisation.feddyn import first_history, stepped
from hanse.core.plan.aggregation import UNTRAINED
from hanse.core.plan.plan import Plan

CODE = "\ndef learner(site): return Linear(site.name)\n"
PLAN: dict[str, Any] = {
    "algorithm": {"name": "feddyn", "alpha": 0.3},
    "tasks": {"train": {"epochs": 3, "lr": 0.05, "discloses": AGGREGATE}},
}


def algorithm_1(rounds: list[tuple[str, ...]]) -> Any:
    """Algorithm 1 of the paper, each site's minimisation by three steps of gradient descent."""
    theta, h, own = np.zeros(3), np.zeros(3), {site: np.zeros(3) for site in SITES}
    for cohort in rounds:
        trained = []
        for site in cohort:
            w = theta
            for _ in range(3):
                w = w - 0.05 * (gradient(w, *rows(site)) - own[site] + 0.3 * (w - theta))
            own[site] = own[site] - 0.3 * (w - theta)
            trained.append(w)
        h = h - 0.3 / len(SITES) * np.sum([w - theta for w in trained], axis=0)
        theta = np.mean(trained, axis=0) - h / 0.3
    return theta


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_the_model_is_that_of_algorithm_1(tmp_path: Path, fraction: float) -> None:
    outcome, events = run(tmp_path, CODE, **PLAN, cohort={"fraction": fraction, "minimum": 2})

    assert outcome.model is not None
    close(outcome.model["w"], algorithm_1(cohorts(events)))


def test_running_statistics_become_the_mean() -> None:
    model = {"w": np.zeros(2), "bn.running_var": np.ones(2), "n": np.array(3)}
    delta = {"w": np.ones(2), "bn.running_var": np.full(2, -0.9), "n": np.array(1)}

    first = first_history(model, UNTRAINED)
    after, history = stepped(model, delta, first, alpha=0.5, share=1.0)

    assert after["w"].tolist() == [2.0, 2.0]  # the mean, and once more what h has of it
    np.testing.assert_allclose(after["bn.running_var"], 0.1)
    assert after["n"] == 4
    assert history.keys() == {"w"}


def test_a_plan_without_the_local_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="feddyn needs `train` to have the local rule `dynamic`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "feddyn",
                "tasks": {"train": {"discloses": AGGREGATE}},
            }
        )
