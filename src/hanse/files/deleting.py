"""Deletion of folders that a worker has filled: however deep, whatever their modes, and no link followed."""

from __future__ import annotations

import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
    with suppress(OSError):
        _permit(os.fspath(folder))
        with _opened(os.fspath(folder)) as top:
            # Again as long as something goes: that may have made the room on a full disk for the rest.
            while _empty(top):
                pass


def _empty(top: int) -> bool:
    """Delete what is in a folder as far as it can be; whether something was, and something is left."""
    begun = len(os.listdir(top))
    names = (f".deleting-{secrets.token_hex(8)}-{number}" for number in itertools.count())
    waiting = list(_clear(top))
    moved = 0
    while waiting:
        name = waiting.pop()
        # By descriptors and not by paths, which can be too long to be used: what is in a folder that is
        # not empty is moved up, so that all are deleted at the first level.
        with suppress(OSError), _opened(name, top) as place:
            for below in _clear(place):
                with suppress(OSError):
                    os.rename(below, above := next(names), src_dir_fd=place, dst_dir_fd=top)
                    waiting.append(above)
                    moved += 1
        with suppress(OSError):
            os.rmdir(name, dir_fd=top)
    left = len(os.listdir(top))
    return left > 0 and (left < begun or moved > 0)


def _clear(place: int) -> Iterator[str]:
    """Delete the files and empty folders in a folder; the other folders, which can be changed then."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with suppress(OSError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=place)
                    continue
                try:
                    os.rmdir(entry.name, dir_fd=place)
                except OSError:
                    _permit(entry.name, place)
                    yield entry.name


@contextmanager
def _opened(folder: str, place: int | None = None) -> Iterator[int]:
    descriptor = os.open(folder, _FOLDER, dir_fd=place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _permit(folder: str, place: int | None = None) -> None:
    if stat.S_IMODE(os.lstat(folder, dir_fd=place).st_mode) & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(folder, stat.S_IRWXU, dir_fd=place)
