"""`hanse aggregator acknowledge` in the folder of an aggregator that is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.unit.assembly.test_restore import restored

from hanse.aggregator.members.restore_hold import RestoreHold, restore_notice


def test_the_command_says_what_it_did(hanse: Hanse, tmp_path: Path) -> None:
    federation = restored(tmp_path / "federation")

    ended = hanse("aggregator", "acknowledge", federation, "--reason", "the disk failed")

    assert ended.code == 0, ended.err
    assert "each site waits until a person there has acknowledged this too" in ended.out
    assert restore_notice(federation) is None


@pytest.mark.parametrize("reason", [[], ["--reason", " "]])
def test_without_a_reason_nothing_is_recorded(hanse: Hanse, tmp_path: Path, reason: list[str]) -> None:
    federation = restored(tmp_path / "federation")

    ended = hanse("aggregator", "acknowledge", federation, *reason)

    assert ended.code == 2
    assert "--reason" in ended.err
    assert restore_notice(federation) is not None


def test_an_operator_who_is_too_early_is_refused(hanse: Hanse, tmp_path: Path) -> None:
    federation = restored(tmp_path / "federation")
    RestoreHold(federation).end()

    ended = hanse("aggregator", "acknowledge", federation, "--reason", "the disk failed")

    assert ended.code == 5
    assert "nothing to acknowledge" in ended.err


def test_a_folder_without_a_federation_is_named(hanse: Hanse, tmp_path: Path) -> None:
    ended = hanse("aggregator", "acknowledge", tmp_path, "--reason", "the disk failed")

    assert ended.code == 3
    assert "neither a federation nor an operator" in ended.err
