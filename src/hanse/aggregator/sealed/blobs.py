"""Blobs of a sealed run: encrypted in the aggregator's store, plain in its memory folder."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from hanse.core.values.digests import Algorithm
from hanse.errors import HanseError, SealError
from hanse.files.copying import Readable, copy_hashed, digest_of_file
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors
from hanse.sealing.file import check_label, open_sealed, seal_file
from hanse.sealing.header import Header, Label, Purpose, file_key, read_header
from hanse.sealing.keys import Randomness, SealKey
from hanse.sealing.owner import OwnerKey
from hanse.sealing.run_files import AT_AGGREGATOR, RunLabels
from hanse.storage.base import BlobStore, BlobWriter


@dataclass(frozen=True, slots=True)
class RunKeys:
    """Keys and labels of a sealed run at its aggregator.

    Attributes:
        labels: Of the run.
        owner: Opens models, groups, states and results, now and after a restart.
        seal: Of the aggregator's instance; opens updates.
    """

    labels: RunLabels
    owner: OwnerKey
    seal: SealKey


@dataclass(slots=True)
class _Known:
    """Knowledge of a blob, in this process.

    Attributes:
        lock: Held while the blob is opened.
        key: Its key; None where it was not sealed or opened here yet.
        content: Label and digest of the content, of what was sealed here or is looked up.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    key: bytes | None = field(default=None, repr=False)
    content: tuple[Label, str] | None = None


class SealedBlobs(BlobStore):
    """The blob store as the handlers of one sealed run see it.

    A blob's name is the digest of its cipher text, and its size that of the cipher text. What is stored is
    encrypted under a fresh key, for the owner; what is read lies in a file of a folder in memory, until
    `keep` or `delete` forgets it. Content that was stored before, with the same purpose and name, gets the
    name of before: so a worker that was started again asks what the worker before it had asked. Methods may
    be called from any thread.

    Args:
        blobs: Where the cipher texts are.
        folder: For plain files, in memory; made here.
        keys: Of the run.
        earlier: Blobs that the run refers to as this process begins with it.
        randomness: Of the operating system.

    Raises:
        StorageError: The folder cannot be made.
    """

    def __init__(
        self,
        blobs: BlobStore,
        folder: Path,
        keys: RunKeys,
        earlier: Collection[str] = (),
        randomness: Randomness = secrets.token_bytes,
    ) -> None:
        self._blobs = blobs
        self._folder = folder
        self._keys = keys
        self._earlier: Collection[str] = earlier
        self._randomness = randomness
        self._lock = threading.Lock()
        self._sealing = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._updates: dict[str, Label] = {}
        """Label that an update has to have, by its digest."""
        with file_errors(f"make {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # -------------------------------------------------------------- sealing

    def copy(self, source: Readable, most: int, algorithm: Algorithm) -> str:
        """See `BlobStore.copy`: stores a model."""
        return self.seal(source, most, algorithm, "model", "model")

    def seal(self, source: Readable, most: int, algorithm: Algorithm, purpose: Purpose, name: str) -> str:
        """Encrypt at most `most` bytes of an open file, store them durably, and return their digest.

        Args:
            source: The file; what its writer appends meanwhile is left out.
            most: Bytes at which to stop.
            algorithm: What makes the digest.
            purpose: What the file is in the run.
            name: Which file of its purpose.

        Raises:
            StorageError: The disk or the memory folder is full; nothing was stored.
        """
        label = self._keys.labels.of(purpose, name)
        with self._scratch() as plain:
            with file_errors(f"copy into {self._folder}"), plain.open("wb") as file:
                content, _ = copy_hashed(source, cast(BinaryIO, file), most, algorithm)
            with self._sealing:  # one at a time: each takes room for the content twice
                self._look_up_earlier(algorithm)
                found = self._stored(label, content)
                return found or self._store(plain, label, content, algorithm)

    def _store(self, plain: Path, label: Label, content: str, algorithm: Algorithm) -> str:
        with self._scratch() as sealed:
            owner = self._keys.owner.public.seal_key
            made = seal_file(plain, sealed, label, [owner], algorithm, randomness=self._randomness)
            with file_errors(f"read {sealed}"), sealed.open("rb", buffering=0) as file:
                digest = self._blobs.copy(file, made.size, algorithm)
        known = self._known_of(digest)
        known.key, known.content = made.key, (label, content)
        with file_errors(f"keep {plain}"):
            plain.chmod(0o400)
            plain.replace(self._place(digest))
        return digest

    def _stored(self, label: Label, content: str) -> str | None:
        with self._lock:
            found = (digest for digest, known in self._known.items() if known.content == (label, content))
            return next((digest for digest in found if self._blobs.has(digest)), None)

    def _look_up_earlier(self, algorithm: Algorithm) -> None:
        """Learn the content of what a process before this one has stored."""
        earlier, self._earlier = self._earlier, ()
        for digest in earlier:
            try:
                label = read_header(self._blobs.path(digest)).label
                if label.purpose not in AT_AGGREGATOR or label.purpose == "initial":
                    continue
                plain = self.path(digest)
            except HanseError:  # of another kind, such as code; or its reader meets the same
                continue
            with file_errors(f"read {plain}"):
                self._known_of(digest).content = label, digest_of_file(plain, algorithm)

    # -------------------------------------------------------------- opening

    def path(self, digest: str) -> Path:
        """See `BlobStore.path`: a file in memory, with the content.

        Raises:
            SealError: It is not a sealed file of this run, or was altered.
            TamperedError: It is not what its name says.
        """
        place, known = self._place(digest), self._known_of(digest)
        with known.lock:
            if not place.is_file():
                known.key = self._open(digest, place, known.key)
        return place

    def whole(self, digest: str) -> Path:
        """See `BlobStore.whole`; what is in memory was checked as it was opened."""
        return self.path(digest)

    def expect_update(self, digest: str, exchange: int, site: str) -> None:
        """Have a blob open only as the update of a site in an exchange."""
        with self._lock:
            self._updates[digest] = self._keys.labels.update(exchange, site)

    def key(self, digest: str) -> bytes:
        """The key of a file that the aggregator has sealed, or the owner.

        Raises:
            SealError: It is not such a file of this run.
            StorageError: It cannot be read.
        """
        known = self._known_of(digest)
        with known.lock:
            if known.key is None:
                path = self._blobs.path(digest)
                header = read_header(path)
                self._keys.labels.check(header.label, path, *AT_AGGREGATOR)
                known.key = self._key_of(header, path)
            return known.key

    def _open(self, digest: str, place: Path, key: bytes | None) -> bytes:
        blob = self._blobs.whole(digest)
        header = read_header(blob)
        expected = self._updates.get(digest)
        if expected is None:
            self._keys.labels.check(header.label, blob, *AT_AGGREGATOR)
        else:
            check_label(header.label, expected, blob)
        found = key or self._key_of(header, blob)
        owner = self._keys.owner.public if header.label.purpose == "initial" else None
        open_sealed(blob, place, found, header.label, owner=owner)
        with file_errors(f"keep {place}"):
            place.chmod(0o400)
        return found

    def _key_of(self, header: Header, path: Path) -> bytes:
        """The key of a file that is sealed to the one key that may open it, and to no other."""
        to = self._keys.seal if header.label.purpose == "update" else self._keys.owner.seal
        found = file_key(header, to)
        if found is None or len(header.recipients) > 1:
            who = "this instance of the aggregator" if to is self._keys.seal else "the owner"
            raise SealError(f"{path}, {header.label}, is not sealed to {who} alone")
        return found

    # ------------------------------------------------------------ forgetting

    def keep(self, needed: Collection[str]) -> None:
        """Forget the content and the keys of all but some blobs, once a round is committed."""
        with self._lock:
            over = (self._known.keys() | self._updates.keys()) - set(needed)
        for digest in over:
            self.forget(digest)

    def forget(self, digest: str) -> None:
        """Forget the content and the key of a blob; it is opened again where it is asked for."""
        with self._lock:
            self._known.pop(digest, None)
            self._updates.pop(digest, None)
        with file_errors(f"delete the content of {digest}"):
            self._place(digest).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete all that is plain."""
        with self._lock:
            self._known.clear()
            self._updates.clear()
        delete_tree(self._folder)

    def _known_of(self, digest: str) -> _Known:
        with self._lock:
            return self._known.setdefault(digest, _Known())

    def _place(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A name in the folder; nothing is at it after the block."""
        with file_errors(f"make a file in {self._folder}"):
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            os.close(descriptor)
        path = Path(name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    # ------------------------------------------------------- as the store is

    def has(self, digest: str) -> bool:
        """See `BlobStore.has`."""
        return self._blobs.has(digest)

    def size(self, digest: str) -> int:
        """See `BlobStore.size`: that of the cipher text."""
        return self._blobs.size(digest)

    def partial_size(self, digest: str, owner: str) -> int:
        """See `BlobStore.partial_size`."""
        return self._blobs.partial_size(digest, owner)

    def write(self, digest: str, owner: str, size: int) -> BlobWriter:
        """See `BlobStore.write`."""
        return self._blobs.write(digest, owner, size)

    def verify(self, digest: str) -> None:
        """See `BlobStore.verify`."""
        self._blobs.verify(digest)

    def digests(self) -> list[str]:
        """See `BlobStore.digests`."""
        return self._blobs.digests()

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        self.forget(digest)
        self._blobs.delete(digest)

    def reclaim(self, *, keep: bool = False) -> None:
        """See `BlobStore.reclaim`."""
        self._blobs.reclaim(keep=keep)

    def drop_unfinished(self) -> None:
        """See `BlobStore.drop_unfinished`."""
        self._blobs.drop_unfinished()

    def sweep(self, until_ms: int) -> None:
        """See `BlobStore.sweep`."""
        self._blobs.sweep(until_ms)


def seal_or_copy(
    blobs: BlobStore, source: Readable, most: int, algorithm: Algorithm, kind: tuple[Purpose, str]
) -> str:
    """Store what a run's worker wrote: as it is, or in a sealed run for what it is.

    Args:
        blobs: The run's.
        source: See `BlobStore.copy`.
        most: See `BlobStore.copy`.
        algorithm: See `BlobStore.copy`.
        kind: Purpose and name of the file in a sealed run.

    Raises:
        StorageError: See `BlobStore.copy`.
    """
    if isinstance(blobs, SealedBlobs):
        return blobs.seal(source, most, algorithm, *kind)
    return blobs.copy(source, most, algorithm)


def expect_update(blobs: BlobStore, digest: str, exchange: int, site: str) -> None:
    """Have a blob of a sealed run open only as the update of a site in an exchange."""
    if isinstance(blobs, SealedBlobs):
        blobs.expect_update(digest, exchange, site)


def keep_content(blobs: BlobStore, needed: Collection[str]) -> None:
    """Forget the plain content of all but some blobs of a sealed run."""
    if isinstance(blobs, SealedBlobs):
        blobs.keep(needed)


def forget_content(blobs: BlobStore, digest: str) -> None:
    """Forget the plain content of one blob of a sealed run."""
    if isinstance(blobs, SealedBlobs):
        blobs.forget(digest)
