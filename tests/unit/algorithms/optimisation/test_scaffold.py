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
    examples,
    gradient,
    rows,
    run,
)

from hanse.core.plan.plan import Plan

CODE = "\ndef learner(site): return Linear(site.name)\n"

PLAN: dict[str, Any] = {
    "algorithm": "scaffold",
    "tasks": {"train": {"epochs": 3, "lr": 0.05, "discloses": AGGREGATE}},
}


def algorithm_1(rounds: list[tuple[str, ...]], server_lr: float = 1.0, *, alike: bool = True) -> Any:
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
        weights = None if alike else [examples(site) for site in cohort]
        x = x + server_lr * np.average(changes, axis=0, weights=weights)
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


def test_sites_may_count_by_their_examples(tmp_path: Path) -> None:
    outcome, events = run(
        tmp_path, CODE, **{**PLAN, "algorithm": {"name": "scaffold", "weights": "examples"}}
    )

    assert outcome.model is not None
    close(outcome.model["w"], algorithm_1(cohorts(events), alike=False))


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
