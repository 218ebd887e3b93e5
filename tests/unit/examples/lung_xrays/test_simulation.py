"""The plan of the case, masked arithmetic included, learns to tell pneumonia within two rounds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import hanse

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_plan_learns_from_masked_sums(case: SimpleNamespace, tmp_path: Path) -> None:
    case.clinics.write(tmp_path)

    run = hanse.simulate(case.folder / "plan.yaml", tmp_path, rounds=2, progress=False)

    last = run.summary()["rounds"][-1]
    assert last["metrics"]["scores.auc"] > 0.75
    assert last["exchanges"][0]["masked"]
    assert last["sites"] == {"city": {}, "island": {}, "valley": {}}  # no clinic's own figures
