"""Exported journals on disk."""

from __future__ import annotations

from pathlib import Path

from tests.parties import enrolled, new_authority

from hanse.aggregator.export import JournalExporter
from hanse.core.values.identity import Role
from hanse.storage.journal_memory import MemoryJournal


def test_what_a_killed_service_left_half_written_is_deleted(tmp_path: Path) -> None:
    credentials = enrolled(new_authority(), tmp_path, "aggregator", Role.AGGREGATOR)
    folder = tmp_path / "runs" / "demo-1"
    folder.mkdir(parents=True)
    (folder / "journal-7.jsonl").write_text("whole")
    (folder / "journal-9.jsonl.part").write_text("half")

    JournalExporter(MemoryJournal(), credentials, tmp_path / "runs", lambda: 0)

    assert [path.name for path in folder.iterdir()] == ["journal-7.jsonl"]
