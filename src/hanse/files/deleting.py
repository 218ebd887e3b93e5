"""Deletion of folders that a worker has filled: however deep, whatever their modes, and no link followed."""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MOST_LEVELS = 50
"""Levels of folders in folders after which one is moved up: the path of a deep one is too long to be used."""


def delete_tree(folder: Path) -> None:
    """Delete a folder with all that is in it; what cannot be deleted stays.

    No process may write there any more. Of a link in its place the link is deleted.
    """
    if folder.is_symlink() or not folder.is_dir():
        with suppress(OSError):
            folder.unlink()
        return
    empty_folder(folder)
    with suppress(OSError):
        folder.rmdir()


def empty_folder(folder: Path) -> None:
    """Delete what is in a folder; see `delete_tree`."""
    names = (folder / f".deleting-{secrets.token_hex(8)}-{number}" for number in itertools.count())
    # Each with its level below `folder`, twice: to take out what is in it, and then to delete it.
    waiting = [(folder, 0, False)]
    while waiting:
        place, level, emptied = waiting.pop()
        if emptied:
            with suppress(OSError):
                place.rmdir()
            continue
        if level:
            waiting.append((place, level, True))
        for below in _clear(place):
            if level < _MOST_LEVELS:
                waiting.append((below, level + 1, False))
            else:
                with suppress(OSError):
                    waiting.append((below.rename(next(names)), 1, False))


def _clear(place: Path) -> Iterator[Path]:
    """Delete the files in a folder; the folders in it, which their owner can change then."""
    with suppress(OSError):
        _permit(place)
        with os.scandir(place) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        _permit(Path(entry))
                        yield Path(entry)
                    else:
                        Path(entry).unlink()


def _permit(folder: Path) -> None:
    if stat.S_IMODE(folder.lstat().st_mode) & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)
