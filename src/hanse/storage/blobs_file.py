"""Blobs as files in a directory, each named by the digest of its content."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, BinaryIO, cast

from hanse.core.values.digests import DIGEST_PATTERN, Algorithm, algorithm_of
from hanse.core.values.identity import check_name
from hanse.errors import StorageError, TamperedError
from hanse.fault_points import FaultPoint, reach
from hanse.files.atomic import put_in_place, sync_folder
from hanse.files.copying import Readable, Writeback, copy_hashed, digest_of_file
from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore, BlobWriter
from hanse.storage.disk_space import free_space
from hanse.storage.recycled_files import WORTH_BYTES, RecycledFiles
from hanse.storage.upload_file import PARTIAL, UNFINISHED, UploadFile, drop_partial, partial_size

_DIGEST = re.compile(DIGEST_PATTERN)

_REMEMBERED = 1_024
"""Places of blobs: a round asks for the same ones again and again, and paths take long to make."""

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
        recycle_from: Size in bytes from which on a deleted blob's file is written over by a new one.
        look_only: Whether nothing is made, and nothing deleted: for a look at a store that may be in use.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        recycle_from: int = WORTH_BYTES,
        look_only: bool = False,
    ) -> None:
        self._durable = durable
        self._place = lru_cache(_REMEMBERED)(self._find_place)
        self._seen: dict[str, _Mark | None] = {}
        """Marks of the blobs that this store has read or written whole; gone with the process."""
        self._folders: set[str] = set()
        """Folders, of 256, in which this process has put a blob: the disk knows of them."""
        self._blobs = directory / "blobs"
        self._uploads = directory / "uploads"
        deleted = directory / "deleted"
        if look_only:
            self._recycled = RecycledFiles(deleted, recycle_from)
            return
        with file_errors(f"make {directory}"):
            for made in (directory, self._blobs, self._uploads, deleted):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._recycled = RecycledFiles(deleted, recycle_from)
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
        if mark := self._seen.get(digest):
            return mark[1]
        path = self.path(digest)
        with file_errors(f"read {path}"):
            return path.stat().st_size

    def copy(self, source: Readable, most: int, algorithm: Algorithm) -> str:
        """See `BlobStore.copy`."""
        with file_errors(f"copy into {self._blobs}"), self._temporary(most) as file:
            reached = Writeback(file.fileno()).reached if self._durable else None
            digest, _ = copy_hashed(source, cast(BinaryIO, file), most, algorithm, reached)
            reach(FaultPoint.AFTER_COPY, most=most)
            self._install(file, Path(file.name), self._place(digest))
        return digest

    def partial_size(self, digest: str, owner: str) -> int:
        """See `BlobStore.partial_size`."""
        return partial_size(self._upload(digest, owner))

    def write(self, digest: str, owner: str, size: int) -> BlobWriter:
        """See `BlobStore.write`."""
        stem, place = self._upload(digest, owner), self._place(digest)
        return UploadFile(stem, place, size, self._install, self._recycled, durable=self._durable)

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
        with file_errors(f"read {path}"):
            found = digest_of_file(path, algorithm_of(digest))
        if found != digest:
            raise TamperedError(
                f"{path} was altered: its digest is {found}",
                mend="Restore a copy of the file and check the disk; then resume the run that needed it.",
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
            self._recycled.add(self._place(digest))

    def reclaim(self, *, keep: bool = False) -> None:
        """See `BlobStore.reclaim`."""
        self._recycled.free(keep=keep)

    def drop_unfinished(self) -> None:
        """See `BlobStore.drop_unfinished`."""
        with file_errors(f"sweep {self._uploads}"):
            for path in self._uploads.glob(f"*{UNFINISHED}"):
                path.unlink()

    def sweep(self, until_ms: int) -> None:
        """See `BlobStore.sweep`."""
        with file_errors(f"sweep {self._uploads}"):
            for part in self._uploads.glob(f"*{PARTIAL}"):
                drop_partial(part, until_ms)

    def _install(self, file: IO[bytes], source: Path, place: Path) -> None:
        """Make a blob of a file that was just written, and hashed on the way."""
        folder = place.parent
        if folder.name not in self._folders or not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._durable:
                sync_folder(folder.parent)
            self._folders.add(folder.name)
        put_in_place(file, source, place, mode=0o400, durable=self._durable)
        self._seen[place.name] = _mark(place)

    def _drop_damaged(self) -> None:
        for path in self._blobs.glob("*/*"):
            with suppress(TamperedError):
                self.verify(path.name)
                continue
            self.delete(path.name)
        self.reclaim()

    def _find_place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StorageError(
                f"{digest[:80]!r} names no blob: 64 hexadecimal characters do, alone or with -blake3"
            )
        return self._blobs / digest[:2] / digest

    def _upload(self, digest: str, owner: str) -> Path:
        """What the names of partial files begin with."""
        return self._uploads / f"{check_name(owner)}.{self._place(digest).name}"

    @contextmanager
    def _temporary(self, size: int) -> Iterator[IO[bytes]]:
        with tempfile.NamedTemporaryFile(dir=self._uploads, suffix=UNFINISHED, delete=False) as file:
            path = Path(file.name)
            try:
                if self._recycled.take(size, path):
                    with path.open("r+b") as over:
                        yield over
                else:
                    free_space(self._uploads, self, size)
                    yield file
            finally:
                path.unlink(missing_ok=True)  # already gone where it was installed


def _mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
