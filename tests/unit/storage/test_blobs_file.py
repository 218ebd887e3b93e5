import fcntl
import io
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from hashlib import sha256
from pathlib import Path

import pytest
from tests.blobs import put

from hanse.errors import StorageError, TransportError
from hanse.storage.base import BlobWriter
from hanse.storage.blobs_file import FileBlobStore

LargestFile = Callable[[int], AbstractContextManager[None]]

DATA = bytes(range(256)) * 40
DIGEST = sha256(DATA).hexdigest()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(directory: Path) -> FileBlobStore:
    return FileBlobStore(directory)


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_a_blob_is_a_file_in_a_folder_of_its_first_two_digits(store: FileBlobStore, directory: Path) -> None:
    put(store, DATA)

    assert files(directory) == [f"blobs/{DIGEST[:2]}/{DIGEST}"]


def test_a_folder_that_was_removed_by_hand_is_made_again(store: FileBlobStore, directory: Path) -> None:
    put(store, DATA)
    shutil.rmtree(directory / "blobs" / DIGEST[:2])

    put(store, DATA)

    assert store.path(DIGEST).read_bytes() == DATA


def test_only_its_user_can_look_into_the_store(store: FileBlobStore, directory: Path) -> None:
    assert all(path.stat().st_mode & 0o077 == 0 for path in (directory, *directory.iterdir()))


def test_what_was_deleted_before_a_crash_is_gone_after_it(store: FileBlobStore, directory: Path) -> None:
    put(store, DATA)
    store.delete(DIGEST)

    FileBlobStore(directory)

    assert files(directory) == []


def test_a_store_that_does_not_wait_for_the_disk_drops_what_a_power_failure_damaged(directory: Path) -> None:
    before = FileBlobStore(directory, durable=False)
    whole, damaged = put(before, b"whole"), put(before, DATA)
    before.path(damaged).chmod(0o600)
    os.truncate(before.path(damaged), 100)

    after = FileBlobStore(directory, durable=False)

    assert after.digests() == [whole]


@pytest.mark.parametrize("durable", [True, False])
def test_only_a_durable_store_waits_for_the_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    store = FileBlobStore(directory, durable=durable)

    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA)
        writer.commit()

    assert bool(waited) is durable


def test_a_full_disk_shows_no_half_of_a_blob(
    store: FileBlobStore, directory: Path, largest_file: LargestFile
) -> None:
    with largest_file(100), pytest.raises(StorageError, match=r"cannot copy into .*ulimit"):
        put(store, DATA)

    assert files(directory) == []


def test_an_upload_goes_on_when_the_disk_has_room_again(
    store: FileBlobStore, largest_file: LargestFile
) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        with largest_file(100), pytest.raises(StorageError, match=r"cannot write .*ulimit"):
            writer.write(DATA)
        assert not store.has(DIGEST)
        assert writer.offset == 100

        writer.write(DATA[100:])
        writer.commit()
    store.verify(DIGEST)


def test_a_disk_that_takes_no_blob_leaves_none(
    store: FileBlobStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    writer = store.write(DIGEST, "a", len(DATA))
    writer.write(DATA)
    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(StorageError, match=r"No space left on device\. Free some space"):
        writer.commit()
    assert files(directory) == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"cannot make .*file/store"):
        FileBlobStore(tmp_path / "file" / "store")


def test_a_store_that_vanished_is_named(store: FileBlobStore, directory: Path) -> None:
    shutil.rmtree(directory)

    with pytest.raises(StorageError, match=rf"cannot copy into {directory}/blobs: .*\. Check the path"):
        put(store, DATA)


def test_an_upload_opened_as_another_ended_cannot_touch_the_blob(
    store: FileBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between opening and locking, the first upload puts the file in place.
    first = store.write(DIGEST, "a", len(DATA))
    first.write(DATA)

    def lock_late(file: object, flags: int) -> None:
        monkeypatch.undo()
        first.commit()

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with pytest.raises(TransportError, match="another upload"):
        store.write(DIGEST, "a", len(DATA))
    store.verify(DIGEST)


def begun(directory: Path, owner: str, last_ms: int) -> BlobWriter:
    """An upload under way, of which nothing came since a time."""
    writer = FileBlobStore(directory).write(DIGEST, owner, len(DATA))
    writer.write(DATA[:10])
    os.utime(directory / "uploads" / f"{owner}.{DIGEST}.part", ns=(0, last_ms * 1_000_000))
    return writer


def test_what_nobody_went_on_with_is_swept(store: FileBlobStore, directory: Path) -> None:
    for owner, last_ms in (("old", 999), ("new", 1_000)):
        begun(directory, owner, last_ms).close()

    store.sweep(1_000)

    assert (store.partial_size(DIGEST, "old"), store.partial_size(DIGEST, "new")) == (0, 10)


def test_what_somebody_still_writes_to_is_not_swept(store: FileBlobStore, directory: Path) -> None:
    with closing(begun(directory, "slow", 0)) as writer:
        store.sweep(1_000)

        writer.write(DATA[10:])
        writer.commit()


@pytest.mark.parametrize("bring", ["put", "copy", "upload"])
def test_what_was_written_here_and_not_touched_since_is_not_read_again(
    store: FileBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bring: str
) -> None:
    if bring == "put":
        put(store, DATA)
    elif bring == "copy":
        store.copy(io.BytesIO(DATA), len(DATA), "sha256")
    else:
        with closing(store.write(DIGEST, "a", len(DATA))) as writer:
            writer.write(DATA)
            writer.commit()
    monkeypatch.setattr(store, "verify", lambda digest: pytest.fail("it was read again"))

    assert store.whole(DIGEST) == store.path(DIGEST)


def test_what_another_process_has_written_is_read_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(FileBlobStore(directory), DATA)
    store = FileBlobStore(directory)
    store.whole(DIGEST)
    monkeypatch.setattr(store, "verify", lambda digest: pytest.fail("it was read again"))

    assert store.whole(DIGEST) == store.path(DIGEST)
