"""Files of receipts, which may come from others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hanse.errors import StorageError
from hanse.wire.receipt_file import read_receipts, receipt_files


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "demo-1.jsonl")

    with pytest.raises(StorageError, match=r"demo-1\.jsonl is not a file"):
        list(read_receipts(tmp_path / "demo-1.jsonl"))


@pytest.mark.parametrize("place", ["/dev/zero", "nowhere", "."], ids=["device", "no target", "folder"])
def test_a_link_to_what_is_no_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "demo-1.jsonl").symlink_to(place)

    with pytest.raises(StorageError, match=r"demo-1\.jsonl is not a file"):
        receipt_files(tmp_path)


def test_files_in_folders_below_are_found(tmp_path: Path) -> None:
    (tmp_path / "until-1").mkdir()
    for name in ("until-1/demo-1.jsonl", "demo-1.jsonl.old", "note.json"):
        (tmp_path / name).touch()

    assert receipt_files(tmp_path) == [tmp_path / "demo-1.jsonl.old", tmp_path / "until-1" / "demo-1.jsonl"]
