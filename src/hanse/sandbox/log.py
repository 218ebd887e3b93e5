"""What a worker prints, kept on disk up to a bound, its end also in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from hanse.errors import StorageError

KEPT_BYTES = 1 << 20
"""Most bytes kept on disk, in two files: the current one, and the one before it (`.1`)."""

_TAIL_BYTES = 1 << 16


class WorkerLog(asyncio.Protocol):
    """Reads the pipe that a worker prints to.

    Attributes:
        closed: Done when nobody can write to the pipe any more.
    """

    def __init__(self, path: Path) -> None:
        """Begin, or go on with, the log at `path`.

        Raises:
            StorageError: The file cannot be written.
        """
        self._path = path
        self._tail = b""
        self._reading: asyncio.BaseTransport | None = None
        self.closed = asyncio.Event()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise StorageError(
                f"the worker's log {path} cannot be written: {error.strerror}", mend="Repair the directory."
            ) from error

    async def pipe(self) -> BinaryIO:
        """Begin to read; returns the end to print to."""
        read_end, write_end = os.pipe()
        reading = os.fdopen(read_end, "rb", buffering=0)
        self._reading, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, reading)
        return os.fdopen(write_end, "wb", buffering=0)

    def data_received(self, data: bytes) -> None:
        """Keep what was printed."""
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        # A full disk must not stop the worker; what is in memory still tells why it failed.
        with contextlib.suppress(OSError):
            if self._file.tell() + len(data) > KEPT_BYTES // 2:
                self._turn()
            self._file.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is left to print."""
        self._file.close()
        self.closed.set()

    def close(self) -> None:
        """Stop reading, also where somebody could still print."""
        if self._reading:
            self._reading.close()
        self._file.close()

    def tail(self, lines: int) -> str:
        """The last lines printed, those of the last 64 KiB at most."""
        return "\n".join(self._tail.decode("utf-8", errors="replace").splitlines()[-lines:])

    def _turn(self) -> None:
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        next_file = self._path.open("ab", buffering=0)
        self._file.close()
        self._file = next_file
