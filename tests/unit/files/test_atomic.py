"""Files appear whole, with the right permissions, or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hanse.errors import CredentialError, StorageError
from hanse.files.atomic import MAX_BYTES, PART, read_file, write_file, writing

KILLED_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
from hanse.files.atomic import writing
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with writing(Path(sys.argv[1]), mode=int(sys.argv[2], 8), durable=True) as file:
    file.write(b"longer than what comes after it")
"""


@pytest.fixture
def umask() -> Iterator[Callable[[int], object]]:
    """Sets what the process denies new files."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    with writing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError("the disk is broken"), KeyboardInterrupt()])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with writing(path) as file:
            file.write(b"ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("most", [0, 10, 99_999])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]], most: int
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with writing(path, durable=True) as file:
            file.write(bytes(100_000))

    with largest_file(most), pytest.raises(OSError, match="File too large"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o644])
def test_a_file_gets_its_mode_and_never_a_wider_one(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"

    with writing(path, mode=mode) as file:
        assert mode_of(tmp_path / f"file{PART}") == 0o600
        file.write(b"secret")

    assert mode_of(path) == mode


@pytest.mark.parametrize(("denied", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_without_a_mode_a_file_gets_that_of_new_files(
    tmp_path: Path, umask: Callable[[int], object], denied: int, mode: int
) -> None:
    umask(denied)

    with writing(tmp_path / "file") as file:
        file.write(b"public")

    assert mode_of(tmp_path / "file") == mode


@pytest.mark.parametrize("mode", ["400", "600", "644"])
def test_what_a_killed_writer_left_becomes_the_next_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    ended = subprocess.run([sys.executable, "-c", KILLED_BEFORE_THE_RENAME, path, mode])

    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file", f"file{PART}"]

    with writing(path, mode=0o600) as file:
        assert mode_of(tmp_path / f"file{PART}") == 0o600
        file.write(b"new")

    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    path, begun, whole = tmp_path / "file", threading.Event(), []

    def write_second() -> None:
        begun.set()
        with writing(path) as file:
            whole.append(path.read_bytes())
            file.write(b"second")

    second = threading.Thread(target=write_second)
    with writing(path) as file:
        second.start()
        begun.wait(10)
        file.write(b"first")
        file.flush()
    second.join(10)

    assert whole == [b"first"]
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["file"]


def test_a_durable_file_is_on_the_disk_before_its_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def rename(source: Path, target: Path) -> Path:
        done.append("name")
        return replace(source, target)

    monkeypatch.setattr("os.fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    with writing(tmp_path / "file", durable=True) as file:
        file.write(b"x")

    assert done == ["file", "name", "folder"]


@pytest.mark.parametrize("length", [0, 3, 100])
def test_a_file_of_no_more_use_is_written_over(tmp_path: Path, length: int) -> None:
    old, path = tmp_path / "old", tmp_path / "file"
    old.write_bytes(b"x" * length)
    inode = old.stat().st_ino

    with writing(path, over=old) as file:
        file.write(b"new bytes")

    assert path.read_bytes() == b"new bytes"
    assert path.stat().st_ino == inode
    assert names(tmp_path) == ["file"]


def test_where_there_is_no_file_to_write_over_a_new_one_is_made(tmp_path: Path) -> None:
    with writing(tmp_path / "file", over=tmp_path / "nowhere") as file:
        file.write(b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / f"file{PART}").symlink_to(tmp_path / "other")

    with pytest.raises(OSError, match="symbolic links"), writing(tmp_path / "file") as file:
        file.write(b"new")

    assert (tmp_path / "other").read_text() == "other"


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
