"""Files written beside their place and put there whole: the one way for all of them."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from hanse.errors import CredentialError
from hanse.files.errors import file_errors

MAX_BYTES = 16_384
"""Longest key, certificate or request that is read; real ones have under 2 KiB."""
PART = ".part"
"""Ends the name of a file that is being written, and then gets the name without it."""


@contextmanager
def writing(
    path: Path, *, mode: int | None = None, durable: bool = False, over: Path | None = None
) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` after the block: whole, or not at all.

    It is written as `PATH.part`. Nothing is left of it where the block fails; what a process
    that was killed left is written over by the next writer of the same path. Two writers at
    the same time, of one process or of several, come one after the other.

    Args:
        path: The file; replaced where it exists.
        mode: Permissions, wider ones than which the bytes never have; None for those that the
            process gives to new files.
        durable: Whether the file outlasts a power failure once the block is over.
        over: A file that is of no more use, in the same file system. Where it exists, it is written over
            and becomes the new one, since new pages of memory cost more than the copy into them.

    Raises:
        OSError: It cannot be written or put in place; `path` is as it was.
    """
    part = path.with_name(f"{path.name}{PART}")
    with _claimed(part, 0o666 if mode is None else 0o600, over) as file:
        try:
            if mode is not None:
                os.fchmod(file.fileno(), 0o600)
            yield file
            put_in_place(file, part, path, mode=mode, durable=durable)
        except BaseException:
            if _is_at(file, part):
                part.unlink()
            raise


def put_in_place(
    file: IO[bytes], part: Path, path: Path, *, mode: int | None = None, durable: bool = False
) -> None:
    """Give a file that was written as `part` its name: in this order, no crash shows half of it.

    Args:
        file: The file, open, and at its end.
        part: Where it is, in the same file system as `path`.
        path: Its name from now on.
        mode: See `writing`.
        durable: See `writing`.

    Raises:
        OSError: As `writing`; the file may still be at `part`.
    """
    file.truncate()  # what was written over may have been longer
    file.flush()
    if mode is not None:
        # The right to write goes last: whatever a crash leaves can be written over.
        os.fchmod(file.fileno(), mode | stat.S_IWUSR)
    if durable:
        os.fsync(file.fileno())
    part.replace(path)
    if mode is not None and not mode & stat.S_IWUSR:
        os.fchmod(file.fileno(), mode)
    if durable:
        sync_folder(path.parent)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a small file in place durably, see `writing`; a missing folder is made, for its owner only.

    Raises:
        StorageError: The directory cannot be written, or the disk is full.
    """
    with file_errors(f"write {path}"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with writing(path, mode=mode, durable=True) as file:
            file.write(data)


def move_file(source: Path, target: Path) -> None:
    """Rename a file within its directory, durably.

    Raises:
        OSError: It cannot be renamed.
    """
    source.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder.

    Raises:
        OSError: The disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _claimed(part: Path, mode: int, over: Path | None) -> BinaryIO:
    """Open a file to write that no other writer has."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode), "r+b")
        _lock(file)
        if _is_at(file, part):
            break
        file.close()  # another writer has put it in place, or deleted it
    if over is None or not over.exists():
        return file
    with file:
        used = over.open("r+b")
        _lock(used)
        over.replace(part)
    return used


def _lock(file: BinaryIO) -> None:
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
