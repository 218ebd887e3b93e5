"""How much room a disk has, and what is let go of for more."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from tests.blobs import put

from hanse.errors import StorageError
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.disk_space import free_space

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def store(tmp_path: Path) -> FileBlobStore:
    """With a deleted blob that is kept to be written over."""
    store = FileBlobStore(tmp_path, recycle_from=1)
    store.delete(put(store, bytes(5_000)))
    store.reclaim(keep=True)
    return store


def small_disk(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Have disks this many bytes, of which those files take up some that are in the folder asked about."""

    def usage(directory: Path) -> Usage:
        used = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        return Usage(size, used, size - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)


def test_where_there_is_enough_room_deleted_blobs_stay(
    store: FileBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_disk(monkeypatch, 10_000)

    assert free_space(tmp_path, store, 4_000) == 5_000


def test_where_there_is_not_they_go(
    store: FileBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_disk(monkeypatch, 10_000)

    assert free_space(tmp_path, store, 6_000) == 10_000
    assert free_space(tmp_path, store, 11_000) == 10_000


def test_a_disk_that_is_not_there_is_named(store: FileBlobStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot ask for the free space of .*gone"):
        free_space(tmp_path / "gone", store, 1)
