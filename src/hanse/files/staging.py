"""Several files put into a directory together, or none of them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from hanse.files.atomic import sync_folder
from hanse.files.errors import file_errors

_PREFIX = ".new-"
_NAME = re.compile(r"\.new-[a-z0-9_]{8}")


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A folder whose content moves up into `directory` if the block ends well, and is gone if not.

    The directory is made, for this user only, where it does not exist. What goes into a folder that is
    there already comes file by file, in the order in which it was written. What a process that was killed
    has left of its own such folder is deleted first.

    Raises:
        StorageError: It cannot be written.
    """
    made = not directory.exists()
    with file_errors(f"write in {directory}"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _delete_left(directory)
        stage = Path(mkdtemp(prefix=_PREFIX, dir=directory))
        held = os.open(stage, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: no process deletes what another one left
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield stage
        with file_errors(f"write in {directory}"):
            _move_up(stage)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if made:
            with suppress(OSError):
                directory.rmdir()
        raise
    finally:
        os.close(held)


def _delete_left(directory: Path) -> None:
    """Delete the folders of processes that are gone: they may hold private keys."""
    for path in directory.iterdir():
        if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        held = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process is at it, or the file system has no locks
            continue
        else:
            shutil.rmtree(path)
        finally:
            os.close(held)


def _move_up(stage: Path) -> None:
    for entry in stage.iterdir():
        _move(entry, stage.parent / entry.name)
    stage.rmdir()
    sync_folder(stage.parent)


def _move(entry: Path, target: Path) -> None:
    if not (entry.is_dir() and target.is_dir()):
        entry.replace(target)
        return
    for child in sorted(entry.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        _move(child, target / child.name)
    entry.rmdir()
    sync_folder(target)
