"""Blobs as files in a directory, each named by the SHA-256 of its content."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, cast

from hanse.core.canonical import sha256
from hanse.core.identity import check_name
from hanse.errors import StorageError, TamperedError, TransportError, UpdateError
from hanse.storage.base import BlobStore, BlobWriter
from hanse.wire.files import Readable, copy_hashed, file_errors

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".part"
_WRITEBACK_BYTES = 8 << 20


_Mark = tuple[int, int, int]
"""What of a file changes when somebody writes to it, or replaces it: inode, size, time of the last write."""


class FileBlobStore(BlobStore):
    """Keeps blobs in `blobs/ab/abcdef...`, uploads under way in `uploads/`, what is to go in `deleted/`.

    A blob appears under its name whole or not at all. Several processes may
    use one directory.

    Args:
        directory: Where to keep them; made where it does not exist, for this user only.
        durable: Whether blobs outlast a power failure. Where they need not, for they can be
            had again, nobody waits for the disk; what is found at the next start is read
            again, and dropped where it is not whole.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._seen: dict[str, _Mark | None] = {}
        """Marks of the blobs that this store has read or written whole; gone with the process."""
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"
        self._deleted = directory / "deleted"
        with file_errors(f"make {directory}"):
            for made in (directory, self._blobs, self._uploads, self._deleted):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.reclaim()
        if not durable:
            self._drop_damaged()

    def has(self, digest: str) -> bool:
        """See `BlobStore.has`."""
        return self._place(digest).is_file()

    def path(self, digest: str) -> Path:
        """See `BlobStore.path`."""
        place = self._place(digest)
        if not place.is_file():
            raise StorageError(f"blob {digest} is not in {self._blobs}")
        return place

    def size(self, digest: str) -> int:
        """See `BlobStore.size`."""
        path = self.path(digest)
        with file_errors(f"read {path}"):
            return path.stat().st_size

    def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        digest = sha256(data)
        with file_errors(f"store blob {digest} in {self._blobs}"), self._temporary() as file:
            file.write(data)
            _install(file, Path(file.name), self._place(digest), durable=self._durable)
        self._note(digest)
        return digest

    def copy(self, source: Readable, most: int) -> str:
        """See `BlobStore.copy`."""
        with file_errors(f"copy into {self._blobs}"), self._temporary() as file:
            digest, _ = copy_hashed(source, cast(BinaryIO, file), most)
            _install(file, Path(file.name), self._place(digest), durable=self._durable)
        self._note(digest)
        return digest

    def partial_size(self, digest: str, owner: str) -> int:
        """See `BlobStore.partial_size`."""
        try:
            return self._part(digest, owner).stat().st_size
        except FileNotFoundError:
            return 0

    def write(self, digest: str, owner: str, size: int) -> BlobWriter:
        """See `BlobStore.write`."""
        part, place = self._part(digest, owner), self._place(digest)
        return _Upload(part, place, size, self._note, durable=self._durable)

    def whole(self, digest: str) -> Path:
        """See `BlobStore.whole`."""
        path = self.path(digest)
        mark = _mark(path)
        if mark is None or self._seen.get(digest) != mark:
            self.verify(digest)
        return path

    def verify(self, digest: str) -> None:
        """See `BlobStore.verify`."""
        path = self.path(digest)
        mark = _mark(path)
        with file_errors(f"read {path}"), path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise TamperedError(
                f"{path} was altered: its SHA-256 is {found}",
                mend="Put back a copy of it and check the disk; then take up again what needed it.",
            )
        self._seen[digest] = mark

    def digests(self) -> list[str]:
        """See `BlobStore.digests`."""
        with file_errors(f"list {self._blobs}"):
            return [path.name for path in self._blobs.glob("??/*") if _DIGEST.fullmatch(path.name)]

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        self._seen.pop(digest, None)
        with file_errors(f"delete blob {digest} from {self._blobs}"), suppress(FileNotFoundError):
            # Moved out of sight: to free a gigabyte takes a tenth of a second, and this is no time to wait.
            self._place(digest).replace(self._deleted / digest)

    def reclaim(self) -> None:
        """See `BlobStore.reclaim`."""
        with file_errors(f"empty {self._deleted}"):
            for path in self._deleted.iterdir():
                path.unlink(missing_ok=True)

    def sweep(self, older_than_s: float, now: datetime) -> int:
        """Drop uploads that nobody went on with.

        Args:
            older_than_s: Seconds since the last byte came.
            now: The time, with its zone.

        Returns:
            How many were dropped.
        """
        swept = 0
        with file_errors(f"sweep {self._uploads}"):
            for part in self._uploads.glob(f"*{_PARTIAL}"):
                with suppress(FileNotFoundError):  # it was finished meanwhile
                    if now.timestamp() - part.stat().st_mtime > older_than_s:
                        part.unlink()
                        swept += 1
        return swept

    def _note(self, digest: str) -> None:
        """Remember that a blob was just written, and hashed on the way."""
        self._seen[digest] = _mark(self._place(digest))

    def _drop_damaged(self) -> None:
        for path in self._blobs.glob("*/*"):
            with suppress(TamperedError):
                self.verify(path.name)
                continue
            self.delete(path.name)
        self.reclaim()

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StorageError(f"{digest[:80]!r} names no blob: 64 hexadecimal characters do")
        return self._blobs / digest[:2] / digest

    def _part(self, digest: str, owner: str) -> Path:
        return self._uploads / f"{check_name(owner)}.{self._place(digest).name}{_PARTIAL}"

    @contextmanager
    def _temporary(self) -> Iterator[IO[bytes]]:
        with tempfile.NamedTemporaryFile(dir=self._uploads, suffix=_PARTIAL, delete=False) as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)  # already gone where it was installed


class _Upload(BlobWriter):
    """Appends to a partial file that is its own until it is closed."""

    def __init__(
        self, part: Path, place: Path, size: int, note: Callable[[str], None], *, durable: bool
    ) -> None:
        self._note = note
        self._durable = durable
        self._part = part
        self._place = place
        self._size = size
        with file_errors(f"write {part}"):
            self._file = part.open("a+b", buffering=0)
            try:
                self._take()
                if os.fstat(self._file.fileno()).st_size > size:
                    self._file.truncate(0)
                self._file.seek(0)
                self._hash = hashlib.file_digest(self._file, "sha256")
                self._offset = self._written_back = self._file.tell()
            except BaseException:
                self._file.close()
                raise

    @property
    def offset(self) -> int:
        """See `BlobWriter.offset`."""
        return self._offset

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `BlobWriter.write`."""
        rest = memoryview(data).cast("B")
        if self._offset + len(rest) > self._size:
            raise StorageError(f"more than the announced {self._size} bytes came for {self._part}")
        with file_errors(f"write {self._part}"):
            while rest:
                written = self._file.write(rest)
                self._hash.update(rest[:written])
                self._offset += written
                rest = rest[written:]
            self._begin_writeback()

    def _begin_writeback(self) -> None:
        """Have the disk begin with what it was given, so that little is left to wait for at the end."""
        begun, due = self._written_back, self._offset - self._offset % _WRITEBACK_BYTES
        if self._durable and due > begun and hasattr(os, "posix_fadvise"):
            # Linux takes this for fresh pages as a wish to write them; it keeps them, as they are not clean.
            os.posix_fadvise(self._file.fileno(), begun, due - begun, os.POSIX_FADV_DONTNEED)
            self._written_back = due

    def restart(self) -> None:
        """See `BlobWriter.restart`."""
        with file_errors(f"write {self._part}"):
            self._file.truncate(0)
        self._hash, self._offset, self._written_back = hashlib.sha256(), 0, 0

    def commit(self) -> Path:
        """See `BlobWriter.commit`."""
        if self._offset < self._size:
            raise UpdateError(
                f"only {self._offset} of {self._size} bytes came of blob {self._place.name}",
                mend=f"Send the rest, from byte {self._offset} on.",
            )
        with self._file, file_errors(f"store blob {self._place}"):
            try:
                self._check_digest()
                _install(self._file, self._part, self._place, durable=self._durable)
            except (UpdateError, OSError):
                # What did not match is of no use, and what the disk did not take may be lost already.
                self._part.unlink(missing_ok=True)
                raise
        self._note(self._place.name)
        return self._place

    def close(self) -> None:
        """See `BlobWriter.close`."""
        self._file.close()

    def _take(self) -> None:
        """Make sure that nobody else writes to this file, nor has put it in place since it was opened."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.samestat(os.fstat(self._file.fileno()), self._part.stat())
        except (BlockingIOError, FileNotFoundError):
            free = False
        if not free:
            raise TransportError(
                f"another upload of blob {self._place.name} by the same site is under way",
                mend="Try again when it has ended.",
            )

    def _check_digest(self) -> None:
        found = self._hash.hexdigest()
        if found != self._place.name:
            raise UpdateError(
                f"blob {self._place.name} arrived with another content, of SHA-256 {found}",
                mend="Send it again from the first byte.",
            )


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _install(file: IO[bytes], source: Path, place: Path, *, durable: bool) -> None:
    """Make a finished file durable, then visible: in this order, no crash can show half of it."""
    file.flush()
    if durable:
        os.fsync(file.fileno())
    place.parent.mkdir(mode=0o700, exist_ok=True)
    source.replace(place)
    os.fchmod(file.fileno(), 0o400)  # not before: an upload that was cut off here is to be taken up again
    if not durable:
        return
    for directory in (place.parent, place.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
