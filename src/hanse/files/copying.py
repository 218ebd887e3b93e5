"""Copies of files that are hashed on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from hanse.core.values.digests import Algorithm, Hasher, algorithm_of

_PIECE = 1 << 18
"""Bytes: small enough to be in the processor's cache still when they are hashed and written."""


_WRITEBACK_BYTES = 8 << 20


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


def copy_bytes(source: Readable, target: BinaryIO, most: int) -> int:
    """As `copy_hashed`, without a digest; the size of the copy in bytes."""
    return sum(target.write(piece) for piece in pieces(source, most))


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
