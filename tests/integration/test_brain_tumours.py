"""The case of brain tumours runs as its page says, with seven institutions and few phantoms."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASE = Path(__file__).parents[2] / "examples" / "cases" / "brain_tumours"

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(600)]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A copy of the case with the phantoms of seven institutions, and a first model."""
    ignored = shutil.ignore_patterns("scans", "start.safetensors", "__pycache__")
    folder = Path(shutil.copytree(CASE, tmp_path / "case", ignore=ignored))
    assert run(folder, "phantoms.py", "scans", "--institutions", "7", "--most", "4").returncode == 0
    assert run(folder, "unet.py", "start.safetensors").returncode == 0
    return folder


def test_seven_institutions_train_in_cells(case: Path) -> None:
    simulated = run(case, "-m", "hanse", "simulate", "plan_seven.yaml", "--site-data", "scans", "--json")

    assert simulated.returncode == 0, simulated.stderr
    assert "dice_wt" in json.dumps(json.loads(simulated.stdout))


def test_a_bad_scan_ends_the_run_in_words_without_a_trace(case: Path) -> None:
    spoilt = sorted((case / "scans" / "institution-02").rglob("*_t2.nii.gz"))[0]
    spoilt.write_bytes(spoilt.read_bytes()[:1000])

    simulated = run(case, "-m", "hanse", "simulate", "plan_seven.yaml", "--site-data", "scans")

    assert simulated.returncode != 0
    assert f"{spoilt.name} cannot be read as NIfTI, it is cut off or damaged" in simulated.stderr
    assert "Traceback" not in simulated.stderr
