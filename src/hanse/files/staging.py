"""Several files put into a directory together, or none of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from hanse.files.atomic import sync_folder
from hanse.files.errors import file_errors


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A folder whose content moves up into `directory` if the block ends well, and is gone if not.

    The directory is made, for this user only, where it does not exist. What goes into a folder that is
    there already comes file by file, in the order in which it was written.

    Raises:
        StorageError: It cannot be written.
    """
    made = not directory.exists()
    with file_errors(f"write in {directory}"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stage = Path(mkdtemp(prefix=".new-", dir=directory))
    try:
        yield stage
        with file_errors(f"write in {directory}"):
            _move_up(stage)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        if made:
            with suppress(OSError):
                directory.rmdir()
        raise


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
