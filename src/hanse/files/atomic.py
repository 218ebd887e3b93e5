"""Files written beside their place and put there whole, durable and with the given mode."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hanse.errors import CredentialError, StorageError

MAX_BYTES = 16_384
"""Longest key, certificate or request that is read; real ones have under 2 KiB."""


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a file in place durably, whole or not at all.

    A missing parent directory is made, for its owner only. The bytes never stand
    anywhere with wider permissions than `mode`.

    Raises:
        StorageError: The directory cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            move_file(Path(temporary), path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}",
            mend="Make room, or give the user that Hanse runs as the right to write there.",
        ) from error


def move_file(source: Path, target: Path) -> None:
    """Rename a file within its directory, durably."""
    source.replace(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_file(path: Path, *, private: bool = False) -> bytes:
    """Read a small file.

    Args:
        path: The file.
        private: Refuse it where others than its owner may touch it.

    Raises:
        CredentialError: It is missing, not readable, too long, or open to others.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise CredentialError(
            f"{path} does not exist", mend="Restore it from a backup, or join the federation again."
        ) from None
    except OSError as error:
        raise CredentialError(
            f"cannot read {path}: {error.strerror}",
            mend="Run Hanse as the user that the file belongs to.",
        ) from error
    if private and mode & 0o077:
        raise CredentialError(
            f"{path} holds a private key, and others than its owner may touch it (mode {mode:o})",
            mend=f"Run `chmod 600 {path}`.",
        )
    if len(data) > MAX_BYTES:
        raise CredentialError(
            f"{path} is neither a key nor a certificate: it is longer than {MAX_BYTES} bytes",
            mend="Restore it from a backup, or join the federation again.",
        )
    return data


PART = ".part"
"""Ends the name of a file that is being written, and then gets the name without it."""


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
