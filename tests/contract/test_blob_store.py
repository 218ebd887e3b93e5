"""What every blob store promises."""

import shutil
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from tests.blobs import put

from hanse.core.values.digests import ALGORITHMS, Algorithm, digest_of_bytes
from hanse.errors import ConfigError, StorageError, TamperedError, TransportError, UpdateError
from hanse.storage.base import BlobStore
from hanse.storage.blobs_file import FileBlobStore

DATA = bytes(range(256)) * 40
DIGEST = sha256(DATA).hexdigest()
HALF = len(DATA) // 2


def with_spares(directory: Path) -> FileBlobStore:
    """A store in which longer, shorter and equally long blobs were just deleted."""
    store = FileBlobStore(directory, recycle_from=1)
    for size in (len(DATA), len(DATA) + 100, len(DATA) - 100, len(DATA)):
        store.delete(put(store, bytes([size % 251]) * size))
    return store


MAKERS: dict[str, Callable[[Path], BlobStore]] = {
    "files": FileBlobStore,
    "files over deleted ones": with_spares,
}


@pytest.fixture(params=sorted(MAKERS))
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BlobStore]:
    """Opens the same store each time it is called, as a restarted process would."""
    return lambda: MAKERS[request.param](tmp_path / "store")


@pytest.fixture
def store(make_store: Callable[[], BlobStore]) -> BlobStore:
    return make_store()


def upload(store: BlobStore, data: bytes = DATA, *, owner: str = "a") -> None:
    """Send some bytes of the blob, and break off."""
    with closing(store.write(DIGEST, owner, len(DATA))) as writer:
        writer.write(data)


def test_a_blob_is_found_under_its_digest(make_store: Callable[[], BlobStore]) -> None:
    digest = put(make_store(), DATA)

    store = make_store()
    assert digest == DIGEST
    assert store.has(digest)
    assert store.size(digest) == len(DATA)
    assert store.path(digest).read_bytes() == DATA
    store.verify(digest)


def test_storing_twice_keeps_one(store: BlobStore) -> None:
    assert put(store, DATA) == put(store, DATA)
    assert store.path(DIGEST).read_bytes() == DATA


def test_all_blobs_are_listed(store: BlobStore) -> None:
    assert store.digests() == []
    one, other = put(store, DATA), put(store, b"another")
    assert sorted(store.digests()) == sorted([one, other])

    store.delete(one)

    assert store.digests() == [other]


def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    digest = put(store, b"")

    assert store.path(digest).read_bytes() == b""


def test_a_blob_is_read_only(store: BlobStore) -> None:
    assert store.path(put(store, DATA)).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("look", [BlobStore.path, BlobStore.size, BlobStore.whole, BlobStore.verify])
def test_an_unknown_blob_is_named(store: BlobStore, look: Callable[[BlobStore, str], object]) -> None:
    assert not store.has(DIGEST)
    with pytest.raises(StorageError, match=f"{DIGEST} is not in"):
        getattr(store, look.__name__)(DIGEST)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_either_digest_names_a_blob(store: BlobStore, algorithm: Algorithm) -> None:
    digest = digest_of_bytes(DATA, algorithm)
    with closing(store.write(digest, "a", len(DATA))) as writer:
        writer.write(DATA[:HALF])

    with closing(store.write(digest, "a", len(DATA))) as writer:
        writer.write(DATA[HALF:])
        writer.commit()

    store.verify(digest)
    assert store.digests() == [digest]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_not_as_either_digest_says_is_refused(store: BlobStore, algorithm: Algorithm) -> None:
    with closing(store.write(digest_of_bytes(DATA, algorithm), "a", HALF)) as writer:
        writer.write(DATA[:HALF])

        with pytest.raises(UpdateError, match="arrived with another content"):
            writer.commit()


def test_one_digest_does_not_pass_for_the_other(store: BlobStore) -> None:
    put(store, DATA)

    assert not store.has(f"{DIGEST}-blake3")


@pytest.mark.parametrize(
    "digest", ["", "ab", f"{DIGEST}-md5", DIGEST.upper(), DIGEST + "\n", "../" * 21 + "x", "/etc/passwd"]
)
def test_only_a_digest_names_a_blob(store: BlobStore, digest: str) -> None:
    for look in (store.has, store.path, store.size, store.whole, store.verify, store.delete):
        with pytest.raises(StorageError, match="names no blob"):
            look(digest)
    with pytest.raises(StorageError, match="names no blob"):
        store.write(digest, "a", 1)


@pytest.mark.parametrize("data", [b"", DATA, DATA * 1000], ids=["nothing", "little", "many pieces"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_file_is_copied(store: BlobStore, tmp_path: Path, data: bytes, algorithm: Algorithm) -> None:
    (tmp_path / "model").write_bytes(data)

    with (tmp_path / "model").open("rb", buffering=0) as file:
        digest = store.copy(file, len(data), algorithm)

    assert digest == digest_of_bytes(data, algorithm)
    assert store.path(digest).read_bytes() == data


def test_what_was_copied_when_a_process_died_goes_with_the_next_ones_start(
    make_store: Callable[[], BlobStore], tmp_path: Path
) -> None:
    class Dying(BytesIO):
        """The disk as it is left by a process that dies as it reads this."""

        def readinto(self, buffer: object) -> int:
            shutil.copytree(tmp_path / "store", tmp_path / "left", dirs_exist_ok=True)
            return super().readinto(buffer)  # type: ignore[arg-type]

    make_store().copy(Dying(DATA), len(DATA), "sha256")
    left = FileBlobStore(tmp_path / "left")
    assert [path for path in (tmp_path / "left").rglob("*") if path.is_file()]

    left.drop_unfinished()

    assert not [path for path in (tmp_path / "left").rglob("*") if path.is_file()]


def test_copying_what_is_there_already_is_no_error(store: BlobStore) -> None:
    put(store, DATA)

    assert store.copy(BytesIO(DATA), len(DATA), "sha256") == DIGEST
    store.verify(DIGEST)


def test_no_more_of_a_file_is_copied_than_was_asked_for(store: BlobStore) -> None:
    assert store.copy(BytesIO(DATA + b"what came later"), len(DATA), "sha256") == DIGEST


def test_the_space_of_a_deleted_blob_is_free_after_reclaiming(store: BlobStore, tmp_path: Path) -> None:
    put(store, DATA)
    store.delete(DIGEST)

    store.reclaim()

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_upload_in_pieces_becomes_a_blob(store: BlobStore) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:HALF])
        writer.write(bytearray(DATA[HALF:-1]))
        writer.write(memoryview(DATA)[-1:])
        assert not store.has(DIGEST)
        path = writer.commit()

    assert path == store.path(DIGEST)
    assert path.read_bytes() == DATA
    assert store.partial_size(DIGEST, "a") == 0


def test_an_upload_is_taken_up_again_where_it_broke_off(make_store: Callable[[], BlobStore]) -> None:
    upload(make_store(), DATA[:HALF])

    store = make_store()
    assert store.partial_size(DIGEST, "a") == HALF
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        assert writer.offset == HALF
        writer.write(DATA[HALF:])
        assert writer.offset == len(DATA)
        writer.commit()
    store.verify(DIGEST)


def test_an_upload_may_begin_again(store: BlobStore) -> None:
    upload(store, b"not what it should be")

    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.restart()
        writer.write(DATA)
        writer.commit()

    assert store.path(DIGEST).read_bytes() == DATA


def test_each_owner_has_an_upload_of_its_own(store: BlobStore) -> None:
    upload(store, DATA[:HALF], owner="a")

    assert store.partial_size(DIGEST, "b") == 0
    with closing(store.write(DIGEST, "b", len(DATA))) as writer:
        writer.write(DATA)
        writer.commit()
    assert store.partial_size(DIGEST, "a") == HALF


def test_too_few_bytes_are_kept_for_a_later_try(store: BlobStore) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:HALF])
        with pytest.raises(UpdateError, match=rf"only {HALF} of {len(DATA)} bytes came .* from byte {HALF}"):
            writer.commit()

        writer.write(DATA[HALF:])
        writer.commit()
    store.verify(DIGEST)


def test_other_content_is_refused_and_dropped(store: BlobStore) -> None:
    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(bytes(len(DATA)))
        with pytest.raises(UpdateError, match=f"{DIGEST} arrived with another content"):
            writer.commit()

    assert not store.has(DIGEST)
    assert store.partial_size(DIGEST, "a") == 0


def test_more_bytes_than_announced_are_refused(store: BlobStore) -> None:
    with closing(store.write(DIGEST, "a", HALF)) as writer:
        writer.write(DATA[:HALF])
        with pytest.raises(StorageError, match=f"more than the announced {HALF} bytes"):
            writer.write(b"x")

    assert store.partial_size(DIGEST, "a") == HALF


def test_a_partial_upload_that_is_too_long_begins_again(store: BlobStore) -> None:
    upload(store, DATA)

    with closing(store.write(DIGEST, "a", HALF)) as writer:
        assert writer.offset == 0


def test_two_uploads_of_one_blob_by_one_owner_are_told_apart(store: BlobStore) -> None:
    with (
        closing(store.write(DIGEST, "a", len(DATA))) as writer,
        pytest.raises(TransportError, match=f"another upload of blob {DIGEST}"),
    ):
        store.write(DIGEST, "a", len(DATA))

    writer = store.write(DIGEST, "a", len(DATA))
    writer.close()


def test_a_blob_that_is_sent_again_stays_whole(store: BlobStore) -> None:
    put(store, DATA)

    with closing(store.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA)
        writer.commit()

    store.verify(DIGEST)


@pytest.mark.parametrize("owner", ["", "../a", "A", "a/b"])
def test_an_owner_is_a_party(store: BlobStore, owner: str) -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        store.write(DIGEST, owner, 1)


def alter(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(DATA[:-1] + b"!")


@pytest.mark.parametrize("look", [BlobStore.whole, BlobStore.verify])
def test_altered_content_is_found(store: BlobStore, look: Callable[[BlobStore, str], object]) -> None:
    alter(store.path(put(store, DATA)))

    with pytest.raises(TamperedError, match="was altered"):
        getattr(store, look.__name__)(DIGEST)


def test_content_that_was_altered_while_nobody_looked_is_found(make_store: Callable[[], BlobStore]) -> None:
    alter(make_store().path(put(make_store(), DATA)))

    with pytest.raises(TamperedError, match="was altered"):
        make_store().whole(DIGEST)


def test_content_that_is_put_back_is_whole_again(store: BlobStore) -> None:
    path = store.path(put(store, DATA))
    alter(path)
    with pytest.raises(TamperedError):
        store.whole(DIGEST)

    path.write_bytes(DATA)

    assert store.whole(DIGEST) == path


def test_a_blob_forgotten_twice_is_gone(store: BlobStore) -> None:
    put(store, DATA)

    store.delete(DIGEST)
    store.delete(DIGEST)

    assert not store.has(DIGEST)
