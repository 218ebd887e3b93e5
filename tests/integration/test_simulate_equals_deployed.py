"""The same plan, seed, sites and data give the same model to the bit, simulated and deployed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hanse.core.canonical import sha256
from hanse.demo.files import HOSPITALS


def hanse(*arguments: object) -> None:
    command = [sys.executable, "-m", "hanse", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=250)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "learner",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_the_demos_model_is_the_simulated_one_to_the_bit(tmp_path: Path, learner: str) -> None:
    if learner != "numpy":
        pytest.importorskip(learner)
    deployed, simulated = tmp_path / "deployed", tmp_path / "simulated"
    rounds = () if learner == "numpy" else ("--rounds", 2)

    hanse("demo", "--directory", deployed, "--learner", learner, *rounds)
    hanse(
        "simulate",
        deployed / "plan" / "plan.yaml",
        *(option for name in HOSPITALS for option in ("--site", name)),
        *("--data", f"heart={deployed}/sites/{{site}}/patients.csv"),
        *("--output", simulated),
    )

    models = [folder / "model.safetensors" for folder in (deployed / "results", simulated)]
    assert sha256(models[0].read_bytes()) == sha256(models[1].read_bytes())
