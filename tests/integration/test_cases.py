"""The deployments of the cases, each by its program, with fewer rounds and less data."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.processes import until
from tests.programs import called
from tests.thorough import sample

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


CASES_WITH_FOLDERS = pytest.mark.parametrize("case", ["lung_xrays", "brain_tumours"])


def started(case: str, folder: Path) -> subprocess.Popen[str]:
    program = [sys.executable, str(CASES / case / "deploy.py"), "--directory", str(folder)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refusal(case: str, folder: Path, *arguments: str) -> str:
    """The last line of what a program says of its arguments, in this process."""
    ended = called(CASES / case / "deploy.py", "--directory", folder, *arguments)
    assert (ended.code, ended.out) == (2, ""), ended
    return ended.err.splitlines()[-1]


@CASES_WITH_FOLDERS
def test_a_folder_that_is_not_empty_is_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    told = refusal(case, tmp_path)

    assert told == f"{tmp_path} is not empty: remove it, or name another folder with --directory"


@CASES_WITH_FOLDERS
def test_a_file_in_place_of_the_folder_is_refused(case: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert refusal(case, file) == f"{file} is not a folder: name another folder with --directory"


@pytest.mark.parametrize(
    ("case", "arguments", "words"),
    [
        ("lung_xrays", ("--port", "99999"), "--port must be 1 to 65535, got 99999"),
        ("lung_xrays", ("--rounds", "0"), "--rounds must be 1 to 1000000, got 0"),
        ("brain_tumours", ("--port", "0"), "--port must be 1 to 65535, got 0"),
        ("brain_tumours", ("--idle", "banana"), "--idle: 'banana' is not a duration"),
        ("brain_tumours", ("--slow", "nan"), "--slow must be a number of seconds"),
        ("brain_tumours", ("--json", "/nowhere/at.json"), "there is no folder /nowhere"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(
    case: str, arguments: tuple[str, str], words: str, tmp_path: Path
) -> None:
    told = refusal(case, tmp_path / "here", *arguments)

    assert words in told
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("case", "place"),
    sample([("lung_xrays", "clinics/city"), ("brain_tumours", "plan"), ("brain_tumours", "scans")], 1),
)
def test_an_interrupt_while_data_are_written_is_one_line(case: str, place: str, tmp_path: Path) -> None:
    with started(case, tmp_path / "here") as process:
        try:
            until(lambda: (tmp_path / "here" / place).exists() or process.poll() is not None, place, 100)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()

    assert (process.returncode, errors) == (130, "interrupted\n")
