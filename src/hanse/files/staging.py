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

    The directory is made, for this user only, where it does not exist.

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
        entry.replace(stage.parent / entry.name)
    stage.rmdir()
    sync_folder(stage.parent)
