"""Uploads that are written over what was deleted."""

from __future__ import annotations

import os
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.blobs import put
from tests.thorough import examples

from hanse.errors import TransportError, UpdateError
from hanse.storage.blobs_file import FileBlobStore

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux tells who reads a file")

DATA = bytes(range(256)) * 40
DIGEST = sha256(DATA).hexdigest()
OLD = b"\xff" * len(DATA)


@pytest.fixture
def store(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "store", recycle_from=1)


@pytest.fixture
def inode(store: FileBlobStore) -> int:
    """Of a blob that was deleted."""
    digest = put(store, OLD)
    number = store.path(digest).stat().st_ino
    store.delete(digest)
    return number


def test_a_blob_is_written_over_a_deleted_one(store: FileBlobStore, inode: int) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA)
        place = writer.commit()

    assert (place.read_bytes(), place.stat().st_ino) == (DATA, inode)
    assert place.stat().st_mode & 0o777 == 0o400
    store.verify(DIGEST)


def test_what_was_in_the_file_before_does_not_count_as_come(store: FileBlobStore, inode: int) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:100])

    assert store.partial_size(DIGEST, "a") == 100
    with closing(store.write(DIGEST, "a", len(DATA))) as again:
        assert again.offset == 100


def test_one_that_dies_before_anything_came_leaves_nothing(store: FileBlobStore, inode: int) -> None:
    store.write(DIGEST, "a", len(DATA)).close()

    assert store.partial_size(DIGEST, "a") == 0


def test_it_goes_on_in_a_new_process_where_it_ended(store: FileBlobStore, inode: int, tmp_path: Path) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:5_000])

    restarted = FileBlobStore(tmp_path / "store", recycle_from=1)
    with closing(restarted.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[writer.offset :])
        place = writer.commit()

    assert (place.read_bytes(), place.stat().st_ino) == (DATA, inode)


def test_a_count_that_was_damaged_is_found_by_the_digest(
    store: FileBlobStore, inode: int, tmp_path: Path
) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:5_000])
    (part,) = (tmp_path / "store" / "uploads").iterdir()
    with part.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"\xff" * 8)

    with closing(store.write(DIGEST, "a", len(DATA))) as writer, pytest.raises(UpdateError, match="another"):
        writer.commit()

    assert store.partial_size(DIGEST, "a") == 0


def test_one_of_another_length_begins_again(store: FileBlobStore, inode: int) -> None:
    with closing(store.write(DIGEST, "a", len(DATA) + 1)) as writer:
        writer.write(DATA[:5_000])

    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        assert writer.offset == 0
        writer.write(DATA)
        assert writer.commit().read_bytes() == DATA


def test_two_at_once_are_told_apart(store: FileBlobStore, inode: int) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:10])

        with pytest.raises(TransportError, match="another upload"):
            store.write(DIGEST, "a", len(DATA))


def test_a_blob_that_is_being_read_stays_as_it_is(store: FileBlobStore) -> None:
    digest = put(store, OLD)

    with store.path(digest).open("rb") as reader:
        store.delete(digest)
        with closing(store.write(DIGEST, "a", len(DATA))) as writer:
            writer.write(DATA)
            writer.commit()
        read = reader.read()

    assert read == OLD


@given(
    st.integers(len(DATA) // 2, 2 * len(DATA)),
    st.lists(
        st.tuples(st.integers(0, 4_000), st.sampled_from(["goes on", "is cut", "restarts"])), max_size=8
    ),
)
@settings(
    max_examples=examples(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_was_there_and_however_it_is_cut_the_blob_is_whole(
    tmp_path: Path, before: int, steps: list[tuple[int, str]]
) -> None:
    store = FileBlobStore(tmp_path / "store", recycle_from=1)
    store.delete(put(store, b"\xfe" * before))
    writer = store.write(DIGEST, "a", len(DATA))
    for count, then in steps:
        came = writer.offset
        writer.write(DATA[came : came + count])
        if then == "is cut":
            came = writer.offset
            writer.close()
            assert store.partial_size(DIGEST, "a") == came
            writer = store.write(DIGEST, "a", len(DATA))
            assert writer.offset == came
        elif then == "restarts":
            writer.restart()
            assert writer.offset == 0

    with closing(writer):
        writer.write(DATA[writer.offset :])
        place = writer.commit()

    assert place.read_bytes() == DATA
    store.delete(DIGEST)
