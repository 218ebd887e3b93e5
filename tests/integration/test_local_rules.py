"""SCAFFOLD and normalised updates: the same bits simulated and deployed, whoever dies."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.deployment import deployed
from tests.integration.test_groups import simulated

SITES = ("a", "bb", "ccc")
PLAN: dict[str, Any] = {
    "code": ["momentum.py", "controlled.py"],
    "learner": "controlled:learner",
    "workflow": "controlled:scaffold",
    "rounds": 3,
    "aggregation": {},
    "cohort": {"deadline": "5m", "minimum": 3},
    "groups": {"control": {"like": "model"}, "steps": {"float64": []}},
    "tasks": {
        "train": {
            "lr": 0.1,
            "local": ["control_variates", "normalise"],
            "receives": ["model", "control"],
            "discloses": {
                "update": "aggregate",
                "aggregated_by": "aggregator",
                "metrics": ["loss"],
                "groups": {"control": "mean", "steps": "weighted_mean"},
            },
        },
    },
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_bits_come_out_though_an_agent_and_the_runs_worker_are_killed_in_mid_round(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path / "deployed", *SITES) as federation:
        site = federation.sites["bb"]
        site.hold("train", 2)
        run = federation.submit(**PLAN)
        site.held(run.run_id, "train", 2)
        federation.agent("bb").end(signal.SIGKILL)
        federation.aggregator.worker().send(signal.SIGKILL)
        site.release()
        federation.start_agent("bb")
        model = run.finished()
        status, exported = run.status, run.export(tmp_path / "results")
        there = simulated(federation, federation.plan(**PLAN), tmp_path / "simulated", SITES)

    assert there["model"] == model
    assert there["results"] == status.results
    assert np.load(exported / "results" / "steps.npz")["steps"] == pytest.approx((1 + 4 + 9) / 6)
    assert np.load(exported / "results" / "control.npz")["weight"].any()
