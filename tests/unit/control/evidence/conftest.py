"""Journals of runs with evidence, of a federation that is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.evidence_journals import EvidenceAuthor, OneWorld, Write, plan_folder
from tests.journals import new_world


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> OneWorld:
    made = new_world(tmp_path_factory.mktemp("parties"))
    return OneWorld(made.folder, made.authority)


@pytest.fixture
def author(federation: OneWorld, tmp_path: Path) -> Write:
    """Begins the journal; the plan lies in `plan`, the aggregator's files in `hub`."""

    def begun(**plan: Any) -> EvidenceAuthor:
        return EvidenceAuthor(federation, tmp_path / "hub", plan_folder(tmp_path / "plan", **plan))

    return begun
