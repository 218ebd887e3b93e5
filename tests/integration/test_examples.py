"""The examples run as the documentation says, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


def simulate(*arguments: object) -> dict[str, Any]:
    """What `hanse simulate` came to."""
    command = [sys.executable, "-m", "hanse", "simulate", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.torch
def test_training_script_gets_better_from_round_to_round() -> None:
    outcome = simulate(EXAMPLES / "script" / "train.py", "--sites", 2, "--rounds", 5)

    losses = [round["metrics"]["loss"] for round in outcome["rounds"]]
    assert len(losses) == 5
    assert losses[-1] < losses[0]


@pytest.mark.torch
def test_training_script_still_runs_by_itself() -> None:
    script = EXAMPLES / "script" / "train.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=True)

    assert done.stdout.startswith("hanse: no federation, so one round alone: examples ")


@pytest.mark.torch
def test_plan_that_was_saved_trains_the_same_model(tmp_path: Path) -> None:
    script = shutil.copy(EXAMPLES / "script" / "train.py", tmp_path)
    plan = tmp_path / "plan.yaml"

    of_script = simulate(script, "--sites", 2, "--rounds", 2, "--save-plan", plan)
    of_plan = simulate(plan, "--sites", 2)

    assert of_plan["model"] == of_script["model"]


@pytest.mark.parametrize("workflow", ["median", "momentum", "asynchronous"])
def test_own_workflow_gets_better_from_round_to_round(workflow: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "own_workflow" / "federation.py", tmp_path)
    text = (EXAMPLES / "own_workflow" / "plan.yaml").read_text("utf-8")
    plan = tmp_path / "plan.yaml"
    plan.write_text(text.replace("workflow: federation:median", f"workflow: federation:{workflow}"), "utf-8")

    outcome = simulate(plan, "--sites", 4)

    losses = [round["metrics"]["loss"] for round in outcome["rounds"]]
    assert len(losses) == 10
    assert losses[-1] < losses[0]
