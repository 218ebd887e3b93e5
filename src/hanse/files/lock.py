"""One process a directory: a second aggregator on the same files is refused at the start."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from hanse.errors import StorageError
from hanse.files.errors import file_errors

LOCK_FILE = "lock"
"""The file that a process holds, in its directory."""


class DirectoryLock:
    """Holds a directory for this process, until it is released or the process ends, however it ends.

    Args:
        directory: The directory to hold; it has to exist.
        holder: What holds it (`aggregator`, `collaborator`), for the message to the second one.
        mend: What to do if another process holds it; to end that process, if empty.

    Raises:
        StorageError: Another process holds it (says which), or it cannot be written to.
    """

    def __init__(self, directory: Path, *, holder: str = "aggregator", mend: str = "") -> None:
        path = directory / LOCK_FILE
        with file_errors(f"lock {directory}"):
            # Not truncated on opening: until the lock is ours, the pid in it is another's.
            self._file = path.open("a+", encoding="ascii")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with self._file:
                    self._file.seek(0)
                    pid = self._file.read(20).strip()
                raise StorageError(
                    f"another {holder} (pid {pid or 'unknown'}) is using {directory}",
                    mend=mend or f"End it first, or give this {holder} a directory of its own.",
                ) from None
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        """Let go of the directory; releasing it twice is no error."""
        # The file stays: whoever removed it could remove it from under the next holder.
        self._file.close()

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def held_since(directory: Path) -> float | None:
    """Say since when a process holds a directory.

    Returns:
        Seconds since 1970, by the file system's clock; None where no process holds it, or it has no lock.
    """
    with suppress(OSError), (directory / LOCK_FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.fstat(file.fileno()).st_mtime
    return None
