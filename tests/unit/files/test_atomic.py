"""Files appear whole, with the right permissions, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hanse.errors import CredentialError, StorageError
from hanse.files.atomic import MAX_BYTES, read_file, write_file


def test_a_file_reads_as_it_was_written(tmp_path: Path) -> None:
    write_file(tmp_path / "ca.crt", b"first")
    write_file(tmp_path / "ca.crt", b"second")

    assert read_file(tmp_path / "ca.crt") == b"second"


def test_a_missing_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    write_file(tmp_path / "own" / "party.key", b"secret", mode=0o600)

    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "own" / "party.key").stat().st_mode) == 0o600


def test_a_certificate_is_for_everybody_to_read(tmp_path: Path) -> None:
    write_file(tmp_path / "ca.crt", b"public")

    assert stat.S_IMODE((tmp_path / "ca.crt").stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path / "ca.crt", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_file(tmp_path / "ca.crt", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["ca.crt"]
    assert read_file(tmp_path / "ca.crt") == b"old"


def test_a_directory_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=f"cannot read {tmp_path}"):
        read_file(tmp_path)


def test_a_file_too_long_to_be_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(b"x" * (MAX_BYTES + 1))

    with pytest.raises(CredentialError, match="neither a key nor a certificate"):
        read_file(tmp_path / "disk.img")
