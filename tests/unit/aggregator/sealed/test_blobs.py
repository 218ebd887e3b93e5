"""Blobs of a sealed run."""

import io
from pathlib import Path

import pytest
from tests.sealed_runs import HUB, LABELS, FakeInstance, an_owner, first_model, sealed

from hanse.aggregator.sealed.blobs import RunKeys, SealedBlobs
from hanse.core.values.canonical import sha256
from hanse.errors import SealError, StorageError
from hanse.sealing.header import read_header
from hanse.sealing.owner import OwnerKey
from hanse.sealing.run_files import RunLabels
from hanse.storage.blobs_file import FileBlobStore

CONTENT = b"weights, " * 1000


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> OwnerKey:
    return an_owner(tmp_path_factory.mktemp("owner"))


class Place:
    """A store on a disk, and a folder that stands for one in memory."""

    def __init__(self, folder: Path, owner: OwnerKey) -> None:
        self.folder, self.owner = folder, owner
        self.disk = FileBlobStore(folder / "disk")
        self.keys = RunKeys(LABELS, owner, HUB.seal)
        self.blobs = self.opened()

    def opened(self, *earlier: str, keys: RunKeys | None = None) -> SealedBlobs:
        """The blobs as another process finds them that takes the run up."""
        return SealedBlobs(self.disk, self.folder / "memory", keys or self.keys, earlier)

    def seal(self, content: bytes = CONTENT, blobs: SealedBlobs | None = None) -> str:
        return (blobs or self.blobs).copy(io.BytesIO(content), len(content), "blake3")

    def bring(self, content: bytes, label: str = "a", exchange: int = 3, to: FakeInstance = HUB) -> str:
        """An update as a site brings it; its digest."""
        path = self.folder / "update"
        sealed(content, path, LABELS.update(exchange, label), to.seal.public)
        return self.put(path)

    def put(self, path: Path) -> str:
        with path.open("rb", buffering=0) as file:
            return self.disk.copy(file, path.stat().st_size, "blake3")

    @property
    def plain(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "memory").iterdir()]


@pytest.fixture
def place(tmp_path: Path, owner: OwnerKey) -> Place:
    return Place(tmp_path, owner)


def test_what_is_stored_is_named_by_its_cipher_text_and_reads_as_it_was(place: Place) -> None:
    digest = place.seal()

    assert place.blobs.path(digest).read_bytes() == CONTENT
    assert place.disk.whole(digest).stat().st_size == place.blobs.size(digest) > len(CONTENT)
    assert CONTENT[:64] not in place.disk.path(digest).read_bytes()


def test_what_is_stored_is_sealed_to_the_owner_alone(place: Place) -> None:
    header = read_header(place.disk.path(place.seal()))

    assert [each.to for each in header.recipients] == [place.owner.seal.fingerprint]
    assert header.label == LABELS.of("model", "model")


def test_a_round_that_is_committed_leaves_no_plain_text_behind(place: Place) -> None:
    old, new = place.seal(b"old"), place.seal(b"new")
    place.blobs.keep([new])

    assert place.plain == [b"new"]
    assert place.blobs.path(old).read_bytes() == b"old", "the owner's key opens it where it is asked for"


def test_no_plain_text_outlasts_the_run(place: Place) -> None:
    place.seal()
    place.blobs.close()

    assert not (place.folder / "memory").exists()


def test_the_owner_opens_models_after_a_restart(place: Place) -> None:
    digest = place.seal()
    place.blobs.close()

    assert place.opened().path(digest).read_bytes() == CONTENT


def test_the_same_content_is_stored_once_so_that_a_worker_that_starts_again_asks_the_same(
    place: Place,
) -> None:
    assert place.seal() == place.seal()


def test_the_same_content_is_known_after_a_restart(place: Place) -> None:
    digest = place.seal()
    place.blobs.close()
    again = place.opened(digest, sha256(b"a plan, which is not sealed"))

    assert place.seal(blobs=again) == digest


def test_the_same_content_for_another_purpose_is_another_file(place: Place) -> None:
    group = place.blobs.seal(io.BytesIO(CONTENT), len(CONTENT), "blake3", "group", "means")

    assert group != place.seal()


class TestUpdates:
    def test_an_update_opens_with_the_key_of_the_instance(self, place: Place) -> None:
        digest = place.bring(b"update")
        place.blobs.expect_update(digest, 3, "a")

        assert place.blobs.path(digest).read_bytes() == b"update"

    def test_one_of_another_site_is_refused(self, place: Place) -> None:
        digest = place.bring(b"update", "b")
        place.blobs.expect_update(digest, 3, "a")

        with pytest.raises(SealError, match="its name should be 'exchange 3, a'"):
            place.blobs.path(digest)
        assert place.plain == []

    def test_one_of_another_exchange_is_refused(self, place: Place) -> None:
        digest = place.bring(b"update", exchange=2)
        place.blobs.expect_update(digest, 3, "a")

        with pytest.raises(SealError, match="exchange 3, a"):
            place.blobs.path(digest)

    def test_one_to_an_instance_that_has_ended_does_not_open(self, place: Place) -> None:
        digest = place.bring(b"update", to=FakeInstance(9))
        place.blobs.expect_update(digest, 3, "a")

        with pytest.raises(SealError, match="is not sealed to this instance of the aggregator alone"):
            place.blobs.path(digest)

    def test_one_that_others_can_open_too_is_refused(self, place: Place) -> None:
        path = place.folder / "shared"
        sealed(b"update", path, LABELS.update(3, "a"), HUB.seal.public, FakeInstance(9).seal.public)
        digest = place.put(path)
        place.blobs.expect_update(digest, 3, "a")

        with pytest.raises(SealError, match="alone"):
            place.blobs.path(digest)

    def test_no_update_passes_for_a_model(self, place: Place) -> None:
        with pytest.raises(SealError, match="should be a file for model"):
            place.blobs.path(place.bring(b"update"))

    def test_one_that_was_cut_is_refused(self, place: Place) -> None:
        path = place.folder / "cut"
        sealed(b"update" * 1000, path, LABELS.update(3, "a"), HUB.seal.public)
        path.write_bytes(path.read_bytes()[:-1])
        digest = place.put(path)
        place.blobs.expect_update(digest, 3, "a")

        with pytest.raises(SealError, match=r"does not open|was cut"):
            place.blobs.path(digest)
        assert place.plain == []


class TestFirstModels:
    def test_the_owners_first_model_opens(self, place: Place) -> None:
        first_model(b"pretrained", place.folder / "first.sealed", place.owner)

        assert place.blobs.path(place.put(place.folder / "first.sealed")).read_bytes() == b"pretrained"

    def test_one_that_another_owner_signed_does_not(self, place: Place, tmp_path: Path) -> None:
        first_model(b"planted", place.folder / "first.sealed", an_owner(tmp_path, "mallory"))

        with pytest.raises(SealError):
            place.blobs.path(place.put(place.folder / "first.sealed"))

    def test_one_of_another_federation_does_not(self, place: Place) -> None:
        first_model(b"pretrained", place.folder / "first.sealed", place.owner, "south")

        with pytest.raises(SealError, match="its federation should be 'north'"):
            place.blobs.path(place.put(place.folder / "first.sealed"))


@pytest.mark.parametrize(
    "labels",
    [
        RunLabels("north", "demo-2", LABELS.plan),
        RunLabels("north", LABELS.run, "cd" * 32),
        RunLabels("south", LABELS.run, LABELS.plan),
        RunLabels("north", LABELS.run, LABELS.plan, rehearsal=True),
    ],
)
def test_a_model_of_another_run_does_not_open(place: Place, labels: RunLabels) -> None:
    digest = place.seal(blobs=place.opened(keys=RunKeys(labels, place.owner, HUB.seal)))
    place.blobs.forget(digest)

    with pytest.raises(SealError, match="should be"):
        place.blobs.path(digest)


def test_a_blob_that_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(StorageError, match="is not in"):
        place.blobs.path(sha256(b"nothing"))


def test_what_is_not_sealed_is_no_file_of_a_sealed_run(place: Place) -> None:
    digest = place.disk.copy(io.BytesIO(b"plain"), 5, "blake3")

    with pytest.raises(SealError, match="not a sealed file"):
        place.blobs.path(digest)
