"""Output of a worker: kept on disk up to a bound, its end also in memory; or discarded."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from hanse.errors import StorageError

KEPT_BYTES = 1 << 20
"""Most bytes kept on disk, in two files: the current one, and the one before it (`.1`)."""

_TAIL_BYTES = 1 << 16


class WorkerOutput(Protocol):
    """Takes what a worker prints.

    Attributes:
        closed: Done when no process can print any more.
    """

    closed: asyncio.Event

    async def pipe(self) -> BinaryIO:
        """Begin to read; returns the end to print to."""
        ...

    def close(self) -> None:
        """Stop reading, also where a process could still print."""
        ...

    def tail(self, lines: int) -> str:
        """The last lines printed; empty where none are kept."""
        ...


class DiscardedOutput(asyncio.Protocol):
    """Reads what a worker prints and keeps nothing of it.

    Attributes:
        num_bytes: Bytes printed so far.
        closed: Done when no process can print any more.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self.closed = asyncio.Event()
        self._reading: asyncio.BaseTransport | None = None

    async def pipe(self) -> BinaryIO:
        """See `WorkerOutput.pipe`."""
        self._reading, printed_to = await _begin_reading(self)
        return printed_to

    def data_received(self, data: bytes) -> None:
        """Count what was printed."""
        self.num_bytes += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        """No process is left to print."""
        self.closed.set()

    def close(self) -> None:
        """See `WorkerOutput.close`."""
        if self._reading:
            self._reading.close()

    def tail(self, lines: int) -> str:
        """See `WorkerOutput.tail`."""
        return ""


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
        self._reading, printed_to = await _begin_reading(self)
        return printed_to

    def data_received(self, data: bytes) -> None:
        """Keep what was printed."""
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        # A full disk must not stop the worker; what is in memory still tells why it failed.
        with contextlib.suppress(OSError):
            if self._file.tell() + len(data) > KEPT_BYTES // 2:
                self._turn()
            self._file.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """No process is left to print."""
        self._file.close()
        self.closed.set()

    def close(self) -> None:
        """Stop reading, also where a process could still print."""
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


async def _begin_reading(reader: asyncio.Protocol) -> tuple[asyncio.BaseTransport, BinaryIO]:
    read_end, write_end = os.pipe()
    reading = os.fdopen(read_end, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: reader, reading)
    return transport, os.fdopen(write_end, "wb", buffering=0)
