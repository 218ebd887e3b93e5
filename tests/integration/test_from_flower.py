"""The example that was moved from Flower comes to what it came to there, round by round."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.moved import MAKE_SITES, ROUNDS, accuracies, results, simulated

EXAMPLE = Path(__file__).parents[2] / "examples" / "from_flower"

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.sklearn, pytest.mark.timeout(400)]


def test_moved_example_is_as_accurate_in_each_round_as_it_was_in_flower(tmp_path: Path) -> None:
    outcome = simulated(EXAMPLE / "after" / "plan.yaml", tmp_path)

    assert len(outcome["rounds"]) == ROUNDS
    assert accuracies(outcome) == pytest.approx(results(EXAMPLE / "before" / "results.txt"), abs=0.005)


def test_sites_that_are_there_are_not_written_over(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, MAKE_SITES, tmp_path], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} exists already; name a folder that does not\n"


def test_training_and_testing_were_moved_without_a_change() -> None:
    before, after = EXAMPLE / "before" / "digits" / "task.py", EXAMPLE / "after" / "task.py"

    assert after.read_bytes() == before.read_bytes()
