"""Copies of files, and what the operating system says against files as an error that names the mend."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from hanse.core.digests import Algorithm, Hasher, algorithm_of
from hanse.errors import StorageError

PART = ".part"
"""Ends the name of a file that is being written, and then gets the name without it."""
_PIECE = 1 << 18
"""Bytes: small enough to be in the processor's cache still when they are hashed and written."""
_WRITEBACK_BYTES = 8 << 20

_MENDS = {
    errno.ENOSPC: "Free some space on that disk, then try again.",
    errno.EDQUOT: "Free some space or ask for a larger quota, then try again.",
    errno.EFBIG: "Raise the limit on file sizes (`ulimit -f`), then try again.",
    errno.EROFS: "That disk is mounted read-only: mount it writable, or choose another directory.",
    errno.EACCES: "Give the user that Hanse runs as access to it.",
    errno.EPERM: "Give the user that Hanse runs as access to it.",
    errno.ENOENT: "Check the path.",
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), then try again.",
    errno.EIO: "The disk reports a fault: check its health before going on.",
}


@contextmanager
def file_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system refuses inside the block into a `StorageError`.

    Args:
        doing: What the block does and to which file, to follow on "cannot".
    """
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "")
        raise StorageError(f"cannot {doing}: {error.strerror or error}", mend=mend) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` after the block, so that nobody sees half of it.

    Nothing is left of it where the block fails.

    Raises:
        OSError: It cannot be put in place.
    """
    part = path.with_name(f"{path.name}{PART}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def overwriting(path: Path, spare: Path | None) -> BinaryIO:
    """Open a file to write, made of one that is of no more use where there is such a one.

    To overwrite pages costs less than to get new ones. What was longer has to be truncated at the end.
    """
    if spare is not None:
        with suppress(FileNotFoundError):
            spare.replace(path)
            return path.open("r+b")
    return path.open("wb")


def unused(path: Path) -> Path | None:
    """The file, if it is there and nobody can read it: has it open, mapped, or by another name.

    Linux tells; None is the answer wherever the system does not.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        with path.open("r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_nlink != 1:
                return None
            # Granted only where no other open file refers to it, and given back as it is closed.
            # Whoever opens it in between would have us sent a signal: one that is ignored.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return None
    return path


class Readable(Protocol):
    """An open file, or what can be read like one."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into a buffer; how many bytes, 0 at the end."""
        ...


class Writeback:
    """Has the disk begin with what a file is given, so that little is left to wait for at the end.

    Args:
        descriptor: Of the file.
        begun: Bytes that the disk has been given before.
    """

    def __init__(self, descriptor: int, begun: int = 0) -> None:
        self._descriptor = descriptor
        self._begun = begun

    def reached(self, size: int) -> None:
        """Note that so many bytes are written."""
        due = size - size % _WRITEBACK_BYTES
        if due > self._begun and hasattr(os, "posix_fadvise"):
            # Linux takes this for fresh pages as a wish to write them; it keeps them, as they are not clean.
            os.posix_fadvise(self._descriptor, self._begun, due - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = due


def copy_hashed(
    source: Readable,
    target: BinaryIO,
    most: int,
    algorithm: Algorithm,
    reached: Callable[[int], object] | None = None,
) -> tuple[str, int]:
    """Copy at most `most` bytes, whatever is still being written behind them.

    Args:
        source: What is copied, from where it stands.
        target: Where to.
        most: Bytes at which to stop.
        algorithm: What makes the digest.
        reached: Told now and then how many bytes are copied.

    Returns:
        The digest of the copy, and its size in bytes.
    """
    hasher, size = Hasher(algorithm), 0
    for piece in pieces(source, most):
        hasher.update(piece)
        target.write(piece)
        size += len(piece)
        if reached is not None:
            reached(size)
    return hasher.digest(), size


def digest_of_file(path: Path, algorithm: Algorithm) -> str:
    """The digest of a file.

    Raises:
        OSError: It cannot be read.
    """
    hasher = Hasher(algorithm)
    with path.open("rb", buffering=0) as file:
        for piece in pieces(file, os.fstat(file.fileno()).st_size):
            hasher.update(piece)
    return hasher.digest()


def is_whole(path: Path, digest: str) -> bool:
    """Whether a file is what its digest says.

    Raises:
        OSError: It cannot be read.
    """
    return digest_of_file(path, algorithm_of(digest)) == digest


def pieces(source: Readable, most: int) -> Iterator[memoryview]:
    """What comes of a file, at most `most` bytes; each piece is gone with the next."""
    buffer = memoryview(bytearray(min(_PIECE, most)))
    while count := source.readinto(buffer[:most]):
        yield buffer[:count]
        most -= count
