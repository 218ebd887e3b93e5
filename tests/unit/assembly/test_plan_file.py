"""Plan files with the short name of an algorithm."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.assembly.plan_file import load_plan
from hanse.config.write import to_yaml
from hanse.core.plan.manifest import Manifest
from hanse.errors import PlanError

REST = """\
name: demo
code: [demo.py]
learner: demo:learner
tasks: {train: {discloses: {update: aggregate, aggregated_by: aggregator}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "demo.py").write_text("def learner(site): ...\n")
    return tmp_path


def written(folder: Path, head: str, rest: str = REST) -> Path:
    path = folder / "plan.yaml"
    path.write_text(f"{head}\n{rest}")
    return path


def test_the_manifest_has_the_keys_and_not_the_name_of_the_algorithm(folder: Path) -> None:
    short = load_plan(written(folder, "algorithm: {name: fedavgm, momentum: 0.5}"))
    long = load_plan(written(folder, "aggregation: {server_optimizer: {name: sgd, lr: 1.0, momentum: 0.5}}"))

    assert short.digest == long.digest
    assert "algorithm" not in short.manifest.to_bytes().decode()
    assert Manifest.from_bytes(short.manifest.to_bytes(), short.digest).plan == long.manifest.plan


def test_what_is_shown_of_a_plan_is_the_expansion(folder: Path) -> None:
    loaded = load_plan(written(folder, "algorithm: {name: fedavgm, momentum: 0.5}"))

    shown = to_yaml(loaded.manifest.plan)

    assert "momentum: 0.5" in shown
    assert "algorithm" not in shown


def test_an_algorithm_whose_needs_are_not_disclosed_is_refused_when_the_plan_is_read(folder: Path) -> None:
    with pytest.raises(PlanError, match="workflow fedbuff needs `train` to disclose an update: `individual`"):
        load_plan(written(folder, "algorithm: fedbuff"))
