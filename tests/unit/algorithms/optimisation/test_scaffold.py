"""SCAFFOLD, beside the pseudocode of its paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.algorithms.runs import (
    AGGREGATE,
    SITES,
    close,
    cohorts,
    gradient,
    rows,
    run,
)

from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

CODE = "\ndef learner(site): return Linear(site.name)\n"

PLAN: dict[str, Any] = {
    "algorithm": "scaffold",
    "tasks": {"train": {"epochs": 3, "lr": 0.05, "discloses": AGGREGATE}},
}


def algorithm_1(rounds: list[tuple[str, ...]], server_lr: float = 1.0) -> Any:
    """Algorithm 1 of the paper, with option II, K = 3 and the local step size 0.05."""
    x, c, own = np.zeros(3), np.zeros(3), {site: np.zeros(3) for site in SITES}
    for cohort in rounds:
        changes, controls = [], []
        for site in cohort:
            y = x.copy()
            for _ in range(3):
                y = y - 0.05 * (gradient(y, *rows(site)) - own[site] + c)
            after = own[site] - c + (x - y) / (3 * 0.05)
            changes.append(y - x)
            controls.append(after - own[site])
            own[site] = after
        x = x + server_lr * np.mean(changes, axis=0)
        c = c + len(cohort) / len(SITES) * np.mean(controls, axis=0)
    return x


def test_the_model_is_that_of_algorithm_1(tmp_path: Path) -> None:
    outcome, events = run(tmp_path, CODE, **PLAN)

    assert outcome.model is not None
    close(outcome.model["w"], algorithm_1(cohorts(events)))


def test_the_model_is_that_of_algorithm_1_where_half_of_the_sites_take_part(tmp_path: Path) -> None:
    outcome, events = run(tmp_path, CODE, **PLAN, cohort={"fraction": 0.5, "minimum": 2}, seed=3)

    drawn = cohorts(events)
    assert {len(cohort) for cohort in drawn} == {2}
    assert len(set(drawn)) > 1
    assert outcome.model is not None
    close(outcome.model["w"], algorithm_1(drawn))


def test_the_learning_rate_of_the_server_is_that_of_the_plan(tmp_path: Path) -> None:
    plan = {**PLAN, "aggregation": {"server_optimizer": {"name": "sgd", "lr": 0.7}}}

    outcome, events = run(tmp_path, CODE, **plan)

    assert outcome.model is not None
    close(outcome.model["w"], algorithm_1(cohorts(events), 0.7))


def test_a_momentum_of_the_server_is_kept_beside_the_control_variate(tmp_path: Path) -> None:
    optimizer = {"name": "sgd", "momentum": 0.5}
    plan = {**PLAN, "aggregation": {"server_optimizer": optimizer}}

    outcome, events = run(tmp_path, CODE, **plan)

    assert outcome.model is not None
    assert not np.allclose(outcome.model["w"], algorithm_1(cohorts(events)))


def test_the_model_ends_at_the_optimum_in_which_sites_count_alike(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, CODE, **PLAN, rounds=150)

    tables = [rows(site) for site in SITES]
    curvature = np.mean([x.T @ x / len(x) for x, _ in tables], axis=0)
    slope = np.mean([x.T @ y / len(x) for x, y in tables], axis=0)
    assert outcome.model is not None
    np.testing.assert_allclose(outcome.model["w"], np.linalg.solve(curvature, slope), rtol=1e-9)


def test_a_mean_weighted_by_examples_is_refused(tmp_path: Path) -> None:
    plan = {**PLAN, "aggregation": {"rule": "weighted_mean"}}

    with pytest.raises(PlanError, match="scaffold"):
        run(tmp_path, CODE, **plan)


def test_a_plan_that_does_not_disclose_the_control_variates_is_refused() -> None:
    with pytest.raises(ValueError, match="workflow scaffold needs `train` to disclose the group `control`"):
        Plan.model_validate(
            {
                "name": "trial",
                "code": ["sites.py"],
                "learner": "sites:learner",
                "workflow": "scaffold",
                "tasks": {"train": {"discloses": AGGREGATE}},
            }
        )
