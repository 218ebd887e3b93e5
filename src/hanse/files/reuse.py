"""Files that have had their use, written over by new ones."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from pathlib import Path


def may_keep(directory: Path) -> int:
    """Most bytes to keep on the disk of a directory only for something to be written over them.

    A quarter of what is free besides, so that they are not what a disk lacks soon.

    Raises:
        OSError: The disk cannot be asked.
    """
    return shutil.disk_usage(directory).free // 4


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
