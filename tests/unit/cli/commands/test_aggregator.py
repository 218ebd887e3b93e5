"""`hanse aggregator acknowledge` in the folder of an aggregator that is stopped."""

from __future__ import annotations

from pathlib import Path

from tests.commands import Hanse
from tests.unit.assembly.test_restore import restored

from hanse.aggregator.members.restore_hold import restore_notice


def test_the_command_says_what_it_did(hanse: Hanse, tmp_path: Path) -> None:
    federation = restored(tmp_path / "federation")

    ended = hanse("aggregator", "acknowledge", federation, "--reason", "the disk failed")

    assert ended.code == 0, ended.err
    assert "each site waits until a person there has acknowledged this too" in ended.out
    assert restore_notice(federation) is None


def test_a_folder_without_a_federation_is_named(hanse: Hanse, tmp_path: Path) -> None:
    ended = hanse("aggregator", "acknowledge", tmp_path)

    assert ended.code == 3
    assert "neither a federation nor an operator" in ended.err
