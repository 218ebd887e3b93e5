"""Files of deleted blobs, and which of them may be written over."""

from __future__ import annotations

import mmap
import os
import shutil
from pathlib import Path

import pytest

from hanse.files.reuse import unused
from hanse.storage.recycled_files import RecycledFiles

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux tells who reads a file")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "deleted"
    made.mkdir()
    return made


@pytest.fixture
def recycled(directory: Path) -> RecycledFiles:
    return RecycledFiles(directory, worth_bytes=100)


def blob(directory: Path, name: str = "blob", size: int = 1_000) -> Path:
    """A file as a store leaves it: for reading only."""
    path = directory.parent / name
    path.write_bytes(b"x" * size)
    path.chmod(0o400)
    return path


def test_a_file_that_nobody_reads_is_taken(recycled: RecycledFiles, directory: Path) -> None:
    recycled.add(blob(directory))

    taken = recycled.take(1_000, directory.parent / "new")

    assert taken
    assert (directory.parent / "new").read_bytes() == b"x" * 1_000
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(("size", "taken"), [(400, False), (600, True), (1_900, True), (2_100, False)])
def test_only_one_of_about_the_size_is_taken(
    recycled: RecycledFiles, directory: Path, size: int, taken: bool
) -> None:
    recycled.add(blob(directory))

    assert recycled.take(size, directory.parent / "new") == taken


def test_small_files_are_not_worth_it(recycled: RecycledFiles, directory: Path) -> None:
    recycled.add(blob(directory, size=99))

    assert not recycled.take(99, directory.parent / "new")


def test_a_file_that_somebody_has_open_is_left(recycled: RecycledFiles, directory: Path) -> None:
    path = blob(directory)

    with path.open("rb"):
        recycled.add(path)
        assert not recycled.take(1_000, directory.parent / "new")

    assert recycled.take(1_000, directory.parent / "new")


def test_a_file_that_somebody_has_mapped_is_left(recycled: RecycledFiles, directory: Path) -> None:
    path = blob(directory)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    recycled.add(path)

    taken = recycled.take(1_000, directory.parent / "new")

    assert not taken
    assert mapped[:] == b"x" * 1_000
    mapped.close()


def test_a_file_with_another_name_is_left(recycled: RecycledFiles, directory: Path) -> None:
    path = blob(directory)
    os.link(path, directory.parent / "lent")
    recycled.add(path)

    assert not recycled.take(1_000, directory.parent / "new")
    assert (directory.parent / "lent").stat().st_mode & 0o777 == 0o400


def test_freed_is_all_but_as_much_as_was_asked_for(recycled: RecycledFiles, directory: Path) -> None:
    recycled.take(1_000, directory.parent / "new")
    recycled.take(1_000, directory.parent / "new")
    for number in range(3):
        recycled.add(blob(directory, f"blob-{number}"))

    recycled.free(keep=True)
    kept = len(list(directory.iterdir()))
    recycled.free(keep=True)

    assert kept == 2
    assert list(directory.iterdir()) == []


def test_no_more_is_kept_than_a_quarter_of_what_is_free(
    recycled: RecycledFiles, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recycled.take(3_000, directory.parent / "new")
    for number in range(3):
        recycled.add(blob(directory, f"blob-{number}"))
    usage = shutil.disk_usage(directory)._replace(free=8_100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    recycled.free(keep=True)

    assert len(list(directory.iterdir())) == 2


def test_what_has_another_name_is_kept_until_that_is_gone(recycled: RecycledFiles, directory: Path) -> None:
    path = blob(directory)
    lent = directory.parent / "lent"
    os.link(path, lent)
    recycled.add(path)

    recycled.free(keep=True)
    lent.unlink()

    assert recycled.take(1_000, directory.parent / "new")


def test_all_is_freed_where_nothing_is_to_be_kept(recycled: RecycledFiles, directory: Path) -> None:
    recycled.take(1_000, directory.parent / "new")
    os.link(blob(directory), directory.parent / "lent")
    recycled.add(directory.parent / "blob")

    recycled.free(keep=False)

    assert list(directory.iterdir()) == []


def test_a_file_that_is_not_there_is_not_unused(tmp_path: Path) -> None:
    assert unused(tmp_path / "none") is None
