"""A simulation from Python: the same as that of the command, without a line printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hanse.assembly.simulation import SCRIPT_ROUNDS, prepare, run, save, summarise
from hanse.assembly.simulation_results import ResultFolder
from hanse.config.load import load_plan
from hanse.control.timeline import Timeline
from hanse.core.run.run import Run
from hanse.errors import PlanError, StorageError
from hanse.simulation.partition import Partition
from hanse.simulation.sites import counted
from hanse.wire.tensors import open_file

SCRIPT = """
import numpy as np
import hanse

mine = hanse.site().share(np.arange(6) % 2)
model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model):
    model["w"] += len(mine)
    round.report(examples=len(mine), loss=1.0 / round.number)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def simulated(script: Path, output: Path, rounds: int | None = None) -> dict[str, Any]:
    prepared = prepare(script, counted(2), Partition(), rounds)
    story = Timeline()
    results = ResultFolder(output)

    def write(now: Run, tensors: Any) -> None:
        results.write(now, tensors, summarise(prepared, now, story.history))

    outcome = run(prepared, lambda _, event: story.lines_for(event) and None, committed=write)
    summary = summarise(prepared, outcome.run, story.history)
    results.write(outcome.run, None, summary)
    return summary | {"files": results.files}


def test_a_script_is_simulated_and_its_results_are_written(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = simulated(script, tmp_path / "results", 3)

    assert (summary["phase"], [done["round"] for done in summary["rounds"]]) == ("finished", [1, 2, 3])
    assert float(open_file(Path(summary["files"]["model"]))["w"][0]) == 9.0
    assert json.loads(Path(summary["files"]["metrics"]).read_text()) == {
        name: value for name, value in summary.items() if name != "files"
    }
    assert "best" not in summary["files"]
    assert capsys.readouterr().out == ""


def test_a_script_has_so_many_rounds_where_nobody_says_how_many(script: Path) -> None:
    assert prepare(script, counted(2), None).loaded.manifest.plan.rounds == SCRIPT_ROUNDS


def test_a_saved_plan_is_the_plan_that_was_prepared(script: Path, tmp_path: Path) -> None:
    prepared = prepare(script, counted(2), None, rounds=2, seed=7)

    save(prepared, tmp_path / "plan.yaml")

    assert load_plan(tmp_path / "plan.yaml").digest == prepared.loaded.digest
    with pytest.raises(StorageError, match=r"cannot write .*plan\.yaml"):
        save(prepared, tmp_path / "plan.yaml")
    with pytest.raises(PlanError, match="is not beside the code of"):
        save(prepared, tmp_path.parent / "plan.yaml")
