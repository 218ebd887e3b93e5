"""Refusals of the operating system as errors that name the mend."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hanse.errors import StorageError

_MENDS = {
    errno.ENOSPC: "Free some space on that disk, then try again.",
    errno.EDQUOT: "Free some space or ask for a larger quota, then try again.",
    errno.EFBIG: "Raise the limit on file sizes (`ulimit -f`), then try again.",
    errno.EROFS: "That disk is mounted read-only: mount it writable, or choose another directory.",
    errno.EACCES: "Give the user that Hanse runs as access to it.",
    errno.EPERM: "Give the user that Hanse runs as access to it.",
    errno.ENOENT: "Check the path.",
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), then try again.",
    errno.EIO: "The disk reports a fault: check its health before you continue.",
}


@contextmanager
def file_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system refuses inside the block into a `StorageError`.

    Args:
        doing: What the block does and to which file, to follow on "cannot".
    """
    try:
        yield
    except OSError as error:
        mend = _MENDS.get(error.errno or 0, "")
        raise StorageError(f"cannot {doing}: {error.strerror or error}", mend=mend) from error
