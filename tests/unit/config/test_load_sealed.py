"""Plans whose first model is sealed are read without a key."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from hanse.config.load import load_plan
from hanse.errors import PlanError
from hanse.simulation.simulate import initial_model_of


def written(folder: Path, **changes: Any) -> Path:
    plan = {
        "name": "demo",
        "code": ["heart.py", "policy.toml", "owner.json"],
        "learner": "heart:learner",
        "rounds": 2,
        "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
        "attestation": {"collaborators": "policy.toml"},
        "sealed": {"owner": "owner.json"},
        "initial_model": "first.sealed",
    }
    for name in ("policy.toml", "owner.json"):
        (folder / name).write_text("")
    (folder / "heart.py").write_text("def learner(site): ...\n")
    (folder / "first.sealed").write_bytes(b"HANSESL1 and what nobody here can read")
    (folder / "plan.yaml").write_text(json.dumps({**plan, **changes}))
    return folder / "plan.yaml"


def test_a_sealed_first_model_is_named_by_its_digest(tmp_path: Path) -> None:
    loaded = load_plan(written(tmp_path))

    assert loaded.manifest.initial_model is not None
    expected = hashlib.sha256((tmp_path / "first.sealed").read_bytes()).hexdigest()
    assert loaded.manifest.initial_model.sha256 == expected


def test_it_is_not_simulated(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"first\.sealed is sealed, and a simulation has no keys"):
        initial_model_of(load_plan(written(tmp_path)))
