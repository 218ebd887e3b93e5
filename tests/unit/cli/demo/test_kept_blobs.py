"""Blobs of an aggregator that are kept beside it."""

from __future__ import annotations

from pathlib import Path

from hanse.cli.demo.kept_blobs import link_new


def blob(folder: Path, name: str) -> Path:
    """A blob in the form of a store."""
    path = folder / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    return path


def test_a_blob_outlasts_its_deletion(tmp_path: Path) -> None:
    made = blob(tmp_path / "blobs", "abcd")

    link_new(tmp_path / "blobs", tmp_path / "seen", set())
    made.unlink()

    assert (tmp_path / "seen" / "ab" / "abcd").read_text() == "abcd"


def test_only_new_blobs_are_linked(tmp_path: Path) -> None:
    kept = {"abcd"}
    blob(tmp_path / "blobs", "abcd")
    blob(tmp_path / "blobs", "ef01")

    link_new(tmp_path / "blobs", tmp_path / "seen", kept)

    assert kept == {"abcd", "ef01"}
    assert not (tmp_path / "seen" / "ab").exists()
