"""Files between this process and a worker that is not trusted."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from hanse.errors import HanseError
from hanse.files.atomic import writing

_UNFIT = {
    errno.ELOOP: "is a link",
    errno.ENXIO: "is not a file",
    errno.EACCES: "cannot be read",
}
"""Things in the place of a file, by the error that opening one gives."""


def open_foreign(path: Path, max_bytes: int, refuse: Callable[[str], HanseError]) -> tuple[FileIO, int]:
    """Open a file that a worker wrote, to copy it: the worker may keep it open, and write to it later.

    No link is followed, and no pipe waited for.

    Args:
        path: The file; a child of a folder that the worker can write to but not replace.
        max_bytes: Most bytes that it may have.
        refuse: Makes the error for what is not such a file, from what is wrong with it: `is a link`.

    Returns:
        The file, and the number of bytes that it has now; no more should be read.

    Raises:
        FileNotFoundError: The worker wrote none.
        HanseError: What `refuse` makes.
        OSError: The file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _UNFIT:
            raise refuse(_UNFIT[error.errno]) from error
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= max_bytes:
        return os.fdopen(descriptor, "rb", 0), found.st_size
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise refuse(f"has {found.st_size} bytes; the limit is {max_bytes}")
    raise refuse("is not a file")


def lend(source: Path, place: Path, *, link: bool = True) -> None:
    """Let a worker read a file: at another place, without a copy where the file system can.

    Args:
        source: The file, which does not change any more.
        place: Where the worker finds it; replaced where it exists.
        link: Whether the worker can change nothing at `place`, not even a mode, so that it may be
            another name of the file.

    Raises:
        OSError: It cannot be copied; nothing is left of it.
    """
    if link:
        try:
            os.link(source, place)
        except OSError:  # another file system, one without links, or a file is there
            pass
        else:
            return
    with source.open("rb") as file, writing(place) as copy:
        shutil.copyfileobj(file, copy)
