"""An upload under way, in a file that survives whoever writes it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from hanse.core.values.digests import Hasher, algorithm_of
from hanse.errors import StorageError, TransportError, UpdateError
from hanse.files.copying import Readable, Writeback, pieces
from hanse.files.errors import file_errors
from hanse.storage.base import BlobWriter
from hanse.storage.recycled_files import RecycledFiles

PARTIAL = ".part"
"""Ends the name of a file that is as long as what came of the blob."""
OVER = ".over.part"
"""Ends the name of a file that is written over: of the blob's length, and behind it a count of what came."""
UNFINISHED = ".unfinished"
"""Ends the name of a file that nobody can go on with but who began it."""
_COUNT_BYTES = 8


def partial_size(stem: Path) -> int:
    """How much came of the upload whose files begin with `stem`; 0 where there is none."""
    with suppress(FileNotFoundError), _ending(stem, OVER).open("rb") as file:
        return _count(file.fileno())
    try:
        return _ending(stem, PARTIAL).stat().st_size
    except FileNotFoundError:
        return 0


def drop_partial(path: Path, until_ms: int) -> None:
    """Delete a partial file that nobody writes to, nor has since a time.

    Args:
        path: The file.
        until_ms: The time, milliseconds since 1970.
    """
    with suppress(FileNotFoundError, BlockingIOError), path.open("r+b") as file:  # finished, or under way
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_mtime * 1000 < until_ms:
            path.unlink()


class UploadFile(BlobWriter):
    """Writes to a partial file that is its own until it is closed."""

    def __init__(
        self,
        stem: Path,
        place: Path,
        size: int,
        install: Callable[[IO[bytes], Path, Path], None],
        recycled: RecycledFiles,
        *,
        durable: bool,
    ) -> None:
        """Begin, or go on where an earlier one ended.

        Args:
            stem: What the names of partial files begin with.
            place: Where the blob goes.
            size: Bytes of the blob.
            install: Makes a finished file the blob: the open file, where it is, where it goes.
            recycled: Files to write over.
            durable: Whether the blob has to outlast a power failure.

        Raises:
            TransportError: Another one writes.
            StorageError: The disk.
        """
        self._place, self._size, self._install, self._durable = place, size, install, durable
        with file_errors(f"write {stem}"):
            self._over = _over(stem, size, recycled)
            self._part = _ending(stem, OVER if self._over else PARTIAL)
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
            try:
                self._take()
                came = self._came()
                self._hash = self._hash_of(came)
                self._offset, self._writeback = came, Writeback(self._file.fileno(), came)
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
            self._note_count()
            if self._durable:
                self._writeback.reached(self._offset)

    def restart(self) -> None:
        """See `BlobWriter.restart`."""
        self._hash, self._offset = self._fresh_hash(), 0
        self._writeback = Writeback(self._file.fileno())
        with file_errors(f"write {self._part}"):
            self._file.seek(0)
            if self._over:
                self._note_count()
            else:
                self._file.truncate(0)

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
                self._install(self._file, self._part, self._place)
            except (UpdateError, OSError):
                # What did not match is of no use, and what the disk did not take may be lost already.
                self._part.unlink(missing_ok=True)
                raise
        return self._place

    def close(self) -> None:
        """See `BlobWriter.close`."""
        self._file.close()

    def _came(self) -> int:
        """How much of the blob is in the file; one that is of no use is begun again."""
        length = os.fstat(self._file.fileno()).st_size
        if self._over:
            if length == self._size + _COUNT_BYTES:
                return _count(self._file.fileno())
            _prepare(self._file.fileno(), self._size)
            return 0
        if length <= self._size:
            return length
        self._file.truncate(0)
        return 0

    def _note_count(self) -> None:
        if self._over:
            os.pwrite(self._file.fileno(), self._offset.to_bytes(_COUNT_BYTES, "big"), self._size)

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

    def _fresh_hash(self) -> Hasher:
        return Hasher(algorithm_of(self._place.name))

    def _hash_of(self, count: int) -> Hasher:
        """Of the first bytes of the file, which then stands behind them."""
        hasher = self._fresh_hash()
        self._file.seek(0)
        for piece in pieces(cast(Readable, self._file), count):
            hasher.update(piece)
        if self._file.tell() != count:
            raise OSError("it ends too early")
        return hasher

    def _check_digest(self) -> None:
        found = self._hash.digest()
        if found != self._place.name:
            raise UpdateError(
                f"blob {self._place.name} arrived with another content, of digest {found}",
                mend="Send it again from the first byte.",
            )


def _over(stem: Path, size: int, recycled: RecycledFiles) -> bool:
    """Whether the upload goes over another file: the one that it began with, or one that there is to have."""
    over = _ending(stem, OVER)
    if over.exists():
        return True
    if _ending(stem, PARTIAL).exists():
        return False
    ready = _ending(stem, f".{secrets.token_hex(8)}{UNFINISHED}")
    if not recycled.take(size, ready):
        return False
    try:
        descriptor = os.open(ready, os.O_RDWR)
        try:
            _prepare(descriptor, size)
        finally:
            os.close(descriptor)
        # Not before it says that nothing came, and never in the place of another that has begun.
        os.link(ready, over)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        return False
    finally:
        ready.unlink(missing_ok=True)
    return True


def _prepare(descriptor: int, size: int) -> None:
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, bytes(_COUNT_BYTES), size)


def _count(descriptor: int) -> int:
    size = max(os.fstat(descriptor).st_size - _COUNT_BYTES, 0)
    return min(int.from_bytes(os.pread(descriptor, _COUNT_BYTES, size), "big"), size)


def _ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)
