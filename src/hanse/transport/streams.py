"""Bytes between sockets and files: in large pieces, off the event loop, each wait bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from hanse.errors import ProtocolError, StorageError, TransportError
from hanse.storage.base import BlobWriter
from hanse.wire.files import file_errors
from hanse.wire.messages_basics import MAX_MESSAGE

PIECE = 1 << 20
"""Bytes that are read, written and hashed at a time."""

T = TypeVar("T")

_threads = ThreadPoolExecutor(2 * (os.cpu_count() or 1), thread_name_prefix="bulk")
"""Apart from the event loop's own threads, so that no journal waits behind somebody's large file."""


class Body(Protocol):
    """The body of a request or reply as it comes in; aiohttp's `StreamReader` is one."""

    async def readany(self) -> bytes:
        """Wait for bytes; none at the end."""
        ...


async def in_thread(
    work: Callable[[], T],
    *,
    undo: Callable[[T], object] | None = None,
    stop: Callable[[], object] | None = None,
    threads: Executor = _threads,
) -> T:
    """Run blocking work on a thread; when cancelled, wait for its end first.

    A thread cannot be stopped: whoever closes its file has to wait.

    Args:
        work: What to do.
        undo: Called with what came of it when nobody is left to take that: closes what was opened.
        stop: Called when nobody is left to wait for it: makes it end soon.
        threads: Which run it.
    """
    future = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        await asyncio.wait({future})
        failed = future.exception()  # it is looked at, so that nobody is told that it never was
        if undo is not None and failed is None:
            undo(future.result())
        raise


async def opened(upload: Callable[[], BlobWriter]) -> BlobWriter:
    """Open an upload on a thread; it is closed again where nobody waits for it any more."""
    return await in_thread(upload, undo=lambda writer: writer.close())


async def read_message(stream: Body, idle_s: float) -> bytes:
    """Read a body that has to be a message.

    Raises:
        ProtocolError: It is longer than `MAX_MESSAGE`.
        TransportError: Nothing came for `idle_s` seconds, or not all of it in five times as long:
            anybody may send the aggregator a message, and byte by byte one could take a year.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(5 * idle_s):
            while data := await _read(stream, idle_s):
                body += data
                if len(body) > MAX_MESSAGE:
                    raise ProtocolError(f"the message is too long; the limit is {MAX_MESSAGE} bytes")
    except TimeoutError:
        raise TransportError(f"a message was not whole after {5 * idle_s:g} s") from None
    return bytes(body)


async def pour(stream: Body, write: Callable[[bytearray], object], idle_s: float) -> None:
    """Write a body, on a thread; what came before an error is written too.

    Raises:
        TransportError: Nothing came for `idle_s` seconds.
        HanseError: Whatever `write` raises.
    """
    piece = bytearray()
    try:
        while data := await _read(stream, idle_s):
            piece += data
            if len(piece) >= PIECE:
                whole, piece = piece, bytearray()
                await in_thread(partial(write, whole))
    finally:
        if piece:
            await in_thread(partial(write, piece))


def size_of(source: Path | bytes) -> int:
    """Size in bytes of a file or of bytes.

    Raises:
        StorageError: There is no such file.
    """
    if isinstance(source, bytes):
        return len(source)
    with file_errors(f"read {source}"):
        return source.stat().st_size


async def pieces(source: Path | bytes, start: int, stop: int, size: int = PIECE) -> AsyncGenerator[bytes]:
    """Read a file, or walk over bytes, from `start` up to `stop`, at most `size` bytes at a time.

    Raises:
        StorageError: The file cannot be read, or ends before `stop`.
    """
    if isinstance(source, bytes):
        for at in range(start, stop, size):
            yield source[at : min(at + size, stop)]
        return
    with file_errors(f"read {source}"):
        file = source.open("rb", buffering=0)
    with file:
        file.seek(start)
        while start < stop:
            with file_errors(f"read {source}"):
                piece = await in_thread(partial(file.read, min(size, stop - start)))
            if not piece:
                raise StorageError(f"{source} became shorter while it was sent")
            start += len(piece)
            yield piece


async def _read(stream: Body, idle_s: float) -> bytes:
    try:
        async with asyncio.timeout(idle_s):
            return await stream.readany()
    except TimeoutError:
        raise TransportError(f"nothing came for {idle_s:g} s in the middle of a body") from None
