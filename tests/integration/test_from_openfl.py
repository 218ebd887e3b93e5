"""The example that was moved from OpenFL computes what OpenFL computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hanse

EXAMPLE = Path(__file__).parents[2] / "examples" / "from_openfl"
DATA = Path(hanse.__file__).parent / "data" / "heart_disease"
SITES = ["cleveland", "hungarian", "switzerland", "va"]

pytestmark = [pytest.mark.slow, pytest.mark.torch]


def simulated(plan: str) -> dict[str, Any]:
    """What `hanse simulate` came to, with the four hospitals."""
    sites = [word for site in SITES for word in ("--site", site)]
    command = [sys.executable, "-m", "hanse", "simulate", EXAMPLE / "after" / plan, *sites]
    command += ["--data", f"heart={DATA}/{{site}}.csv", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def of_openfl(metric: str) -> list[float]:
    """A metric by round, as OpenFL's aggregator wrote it."""
    lines = (EXAMPLE / "before" / "aggregator_metrics.txt").read_text("utf-8").splitlines()
    return [json.loads(line)[f"aggregator/{metric}"] for line in lines]


def test_moved_learner_has_the_metrics_that_openfl_had() -> None:
    rounds = [round["metrics"] for round in simulated("plan.yaml")["rounds"]]

    losses = [metrics["loss"] for metrics in rounds]
    assert losses == pytest.approx(of_openfl("train/loss"), abs=1e-4)
    # OpenFL measures the model that a round begins with, Hanse the one that it ends with.
    accuracies = [metrics["accuracy"] for metrics in rounds]
    assert accuracies[:-1] == pytest.approx(of_openfl("aggregated_model_validation/accuracy")[1:], abs=0.01)


def test_flow_that_became_a_workflow_trains_the_same_model() -> None:
    assert simulated("flow.yaml")["model"] == simulated("plan.yaml")["model"]


def test_shorter_learner_learns() -> None:
    losses = [round["metrics"]["loss"] for round in simulated("short.yaml")["rounds"]]

    assert len(losses) == 10
    assert losses[-1] < losses[0]
