"""Runs an example that was moved from another system, and reads what it came to there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

MAKE_SITES = Path(__file__).parents[1] / "examples" / "digits" / "make_sites.py"
ROUNDS = 10


def simulated(plan: Path, folder: Path) -> dict[str, Any]:
    """What a simulation of the plan with the four sites of the example came to."""
    sites = folder / "sites"
    for command in (
        [sys.executable, MAKE_SITES, sites],
        [sys.executable, "-m", "hanse", "simulate", plan, "--site-data", sites, "--json"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def accuracies(outcome: dict[str, Any]) -> list[float]:
    """The accuracy of the mean model after each round."""
    return [round["metrics"]["accuracy"] for round in outcome["rounds"]]


def results(file: Path) -> list[float]:
    """The accuracy after each round that the other system printed."""
    found = [float(number) for number in re.findall(r"accuracy ([0-9.]+)", file.read_text("utf-8"))]
    assert len(found) == ROUNDS
    return found
