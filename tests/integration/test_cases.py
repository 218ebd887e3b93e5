"""The deployments of the cases, each by its program, with fewer rounds and less data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parents[2] / "examples" / "cases"

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(300)]


def deploy(case: str, folder: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    """What the program of a case measured, and what it printed."""
    program = [sys.executable, CASES / case / "deploy.py", "--directory", folder, *arguments]
    ended = subprocess.run(list(map(str, program)), capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads((folder / "summary.json").read_text()), ended.stdout


def test_three_clinics_train_under_secure_aggregation(tmp_path: Path) -> None:
    summary, told = deploy("lung_xrays", tmp_path / "here", "--rounds", 2)

    assert summary["rounds"] == 2
    assert summary["last"]["scores.auc"] > 0.7
    assert "ok      sums" in told
    assert "\nverified: " in told
    assert (tmp_path / "here" / "results" / "model.safetensors").exists()


def test_seven_institutions_train_in_cells_while_one_of_them_hangs(tmp_path: Path) -> None:
    summary, told = deploy("brain_tumours", tmp_path / "here", "--rounds", 2, "--most", 4, "--slow", 5)

    assert [each["round"] for each in summary["rounds"]] == [1, 2]
    assert all(each["metrics"]["loss"] > 0 for each in summary["rounds"])
    assert len(summary["stood_still_s"]) == 1
    assert min(summary["stood_still_s"].values()) >= 5
    assert "\nverified: " in told


@pytest.mark.parametrize("case", ["lung_xrays", "brain_tumours"])
def test_a_folder_that_is_not_empty_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    program = [sys.executable, str(CASES / case / "deploy.py"), "--directory", str(tmp_path)]

    ended = subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)

    assert ended.returncode == 1
    assert ended.stderr == f"{tmp_path} is not empty: remove it, or name another folder with --directory\n"
