"""Files of deleted blobs, kept for the next blobs to be written over them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Lock

from hanse.files.errors import file_errors
from hanse.files.reuse import may_keep, unused

WORTH_BYTES = 4 << 20
"""Size from which on it pays to write over a file instead of making a new one."""


class RecycledFiles:
    """What was deleted and takes up space still.

    New pages of memory cost several times what the copy into them costs, and a
    round needs as many of them as the round before has let go. May be used from
    any thread.

    Args:
        directory: Where the files are; there.
        worth_bytes: Size from which on they are kept.
    """

    def __init__(self, directory: Path, worth_bytes: int = WORTH_BYTES) -> None:
        self._directory = directory
        self._worth = worth_bytes
        self._lock = Lock()
        self._written = 0

    def add(self, path: Path) -> None:
        """Move a file here; it may still be read by whoever has it open.

        Raises:
            FileNotFoundError: It is not there.
        """
        path.replace(self._directory / path.name)

    def take(self, size: int, place: Path) -> bool:
        """Move a file of about this size to `place`, to be written over, if there is one that nobody reads.

        It keeps its content; its owner may write to it.
        """
        if size < self._worth:
            return False
        with self._lock:
            self._written += size
            for path in self._directory.iterdir():
                with suppress(OSError):
                    found = path.stat()
                    if found.st_nlink != 1 or not size // 2 <= found.st_size <= 2 * size:
                        continue
                    path.chmod(0o600)
                    if unused(path) is not None:
                        path.replace(place)
                        return True
        return False

    def free(self, *, keep: bool) -> None:
        """Delete the files.

        Args:
            keep: Leave as much of them as was asked for since this was last called, but no more than a
                quarter of what is free besides on the disk; and what has other names: once they
                are gone, it can be written over.

        Raises:
            StorageError: They cannot be deleted.
        """
        with file_errors(f"empty {self._directory}"), self._lock:
            room = min(self._written, may_keep(self._directory)) if keep else 0
            self._written = 0
            for path in self._directory.iterdir():
                with suppress(FileNotFoundError):  # another process was faster
                    found = path.stat()
                    if keep and found.st_nlink > 1:
                        continue
                    if keep and self._worth <= found.st_size <= room:
                        room -= found.st_size
                    else:
                        path.unlink()
