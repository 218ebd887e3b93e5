"""Blobs as files in a directory, each named by the SHA-256 of its content."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import IO

from hanse.core.canonical import sha256
from hanse.core.identity import check_name
from hanse.errors import StorageError, TamperedError, TransportError, UpdateError
from hanse.storage.base import BlobStore, BlobWriter
from hanse.wire.files import file_errors

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".part"


_Mark = tuple[int, int, int]
"""What of a file changes when somebody writes to it, or replaces it: inode, size, time of the last write."""


class FileBlobStore(BlobStore):
    """Keeps blobs in `blobs/ab/abcdef...` and uploads under way in `uploads/`.

    A blob appears under its name whole or not at all. Several processes may
    use one directory.

    Args:
        directory: Where to keep them; made where it does not exist, for this user only.
    """

    def __init__(self, directory: Path) -> None:
        self._seen: dict[str, _Mark | None] = {}
        """Marks of the blobs that this store has read or written whole; gone with the process."""
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"
        with file_errors(f"make {directory}"):
            for made in (directory, self._blobs, self._uploads):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)

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
            _install(file, Path(file.name), self._place(digest))
        self._note(digest)
        return digest

    def adopt(self, path: Path) -> str:
        """See `BlobStore.adopt`."""
        with file_errors(f"take {path} into {self._blobs}"), _open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            try:
                _install(file, path, self._place(digest))
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                file.seek(0)
                with self._temporary() as copy:
                    shutil.copyfileobj(file, copy)
                    _install(copy, Path(copy.name), self._place(digest))
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
        return _Upload(self._part(digest, owner), self._place(digest), size, self._note)

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
        with file_errors(f"delete blob {digest} from {self._blobs}"):
            self._place(digest).unlink(missing_ok=True)

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

    def __init__(self, part: Path, place: Path, size: int, note: Callable[[str], None]) -> None:
        self._note = note
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
                self._offset = self._file.tell()
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
                _install(self._file, self._part, self._place)
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


def _open_regular(path: Path) -> BufferedReader:
    # The file may come from a worker that is not trusted: no link is followed, no pipe waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError(f"{path} is not a regular file")
    return os.fdopen(descriptor, "rb")


def _install(file: IO[bytes], source: Path, place: Path) -> None:
    """Make a finished file durable, then visible: in this order, no crash can show half of it."""
    file.flush()
    os.fsync(file.fileno())
    place.parent.mkdir(mode=0o700, exist_ok=True)
    source.replace(place)
    os.fchmod(file.fileno(), 0o400)  # not before: an upload that was cut off here is to be taken up again
    for directory in (place.parent, place.parent.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
