"""A plan gives the models that it gave under earlier versions, round by round."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.commands import Hanse
from tests.thorough import THOROUGH
from tests.upgrades.kept import HERE, VERSIONS, read

CLOSE = 1e-4
"""Relative; how close models have to be whose sums depend on the processor."""


def cases(*, exact: bool) -> list[Any]:
    """Folder and facts of the cases whose bits are, or are not, the same on every machine."""
    return [
        pytest.param(
            HERE / version / "simulate" / name,
            case,
            id=f"{version}-{name}",
            marks=[getattr(pytest.mark, case["needs"])] if case["needs"] else [],
        )
        for version in VERSIONS
        for name, case in read(version, "models.json").items()
        if case["exact"] == exact
    ]


@pytest.mark.parametrize(("folder", "case"), cases(exact=True))
def test_every_round_gives_the_model_that_it_gave_to_the_bit(
    folder: Path, case: dict[str, Any], tmp_path: Path, hanse: Hanse
) -> None:
    # The last model follows from all before it.
    counts = range(1, len(case["models"]) + 1) if THOROUGH else [len(case["models"])]
    runs = [simulate(hanse, folder, case, rounds, tmp_path / str(rounds)) for rounds in counts]

    assert [run["model"] for run in runs] == case["models"][counts[0] - 1 :]
    last = tmp_path / str(counts[-1]) / "model.safetensors"
    assert hashlib.sha256(last.read_bytes()).hexdigest() == case["sha256"]
    assert runs[-1]["plan"]["digest"] == case["plan"]
    assert runs[-1]["best"] == case["best"]
    # 0.1 did not round: the means of what is rounded are near those of what is not.
    for done, metrics in zip(runs[-1]["rounds"], case["metrics"], strict=True):
        assert done["metrics"] == pytest.approx(metrics, rel=1e-5)


@pytest.mark.parametrize(
    ("folder", "case"), [param for param in cases(exact=True) if param.values[1]["file"] == "plan.yaml"]
)
def test_metrics_are_those_of_0_1_to_the_bit_where_the_plan_declares_all_digits(
    folder: Path, case: dict[str, Any], tmp_path: Path, hanse: Hanse
) -> None:
    exact = shutil.copytree(folder, tmp_path / folder.name)
    with (exact / "plan.yaml").open("a", encoding="utf-8") as plan:
        plan.write("\nmetric_digits: 17\n")

    run = simulate(hanse, exact, case, len(case["models"]), tmp_path / "output")

    assert run["model"] == case["models"][-1]
    assert [done["metrics"] for done in run["rounds"]] == case["metrics"]


@pytest.mark.parametrize(("folder", "case"), cases(exact=False))
def test_a_model_whose_bits_depend_on_the_processor_is_close_to_what_it_was(
    folder: Path, case: dict[str, Any], tmp_path: Path, hanse: Hanse
) -> None:
    if case["needs"] is not None:
        pytest.importorskip(case["needs"])

    run = simulate(hanse, folder, case, len(case["models"]), tmp_path)

    found, stored = (load_file(place / "model.safetensors") for place in (tmp_path, folder))
    assert found.keys() == stored.keys()
    for name, array in found.items():
        assert (array.dtype, array.shape) == (stored[name].dtype, stored[name].shape)
        np.testing.assert_allclose(array, stored[name], rtol=CLOSE, atol=CLOSE)
    assert run["plan"]["digest"] == case["plan"]


def simulate(hanse: Hanse, folder: Path, case: dict[str, Any], rounds: int, output: Path) -> dict[str, Any]:
    arguments = [argument.format(folder=folder) for argument in case["arguments"]]
    ended = hanse(
        "simulate", folder / case["file"], "--rounds", rounds, *arguments, "--output", output, "--json"
    )
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found
