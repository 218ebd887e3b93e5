"""Bodies of requests and replies between sockets and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from hanse.concurrency import in_thread
from hanse.errors import ProtocolError, StorageError, TransportError
from hanse.files.errors import file_errors
from hanse.storage.base import BlobWriter
from hanse.wire.messages.basics import MAX_MESSAGE

PIECE = 1 << 20
"""Bytes that the event loop has a thread read, write or hash at a time."""
CACHED_PIECE = 1 << 18
"""Bytes that a thread receives or sends at a time: few enough to stay in a processor's own cache."""


class Source(Protocol):
    """A socket that is read from; blocking, with a limit to how long."""

    def recv_into(self, buffer: memoryview, nbytes: int) -> int:
        """Receive at most so many bytes into a buffer; 0 at the end."""
        ...

    def gettimeout(self) -> float | None:
        """Longest wait for the next bytes, seconds."""
        ...


def receive(source: Source, length: int, first: bytes, write: Callable[[memoryview], object]) -> None:
    """Write a body as it comes; what came before an error is written too.

    Args:
        source: Where it comes from.
        length: Bytes of the whole body.
        first: Its beginning, received before.
        write: Takes the next bytes, which are overwritten later.

    Raises:
        TransportError: Nothing came for as long as the socket waits.
        ConnectionResetError: The connection broke.
        HanseError: Whatever `write` raises.
    """
    if first:
        write(memoryview(first))
    left, filled = length - len(first), 0
    buffer = memoryview(bytearray(min(CACHED_PIECE, left)))
    try:
        while left:
            if filled == len(buffer):
                write(buffer)
                filled = 0
            # With the count, an SSLSocket need not look for it: this runs for every 16 KiB, a TLS record.
            count = source.recv_into(buffer[filled:], min(len(buffer) - filled, left))
            if not count:
                raise ConnectionResetError("the connection broke in the middle of a body")
            filled, left = filled + count, left - count
    except TimeoutError:
        waited = f"{source.gettimeout():g} s in the middle of a body"
        raise TransportError(f"nothing came for {waited}") from None
    finally:
        if filled:
            write(buffer[:filled])


def send(source: Path | bytes, start: int, stop: int, take: Callable[[memoryview], bool]) -> bool:
    """Send a file, or bytes, from `start` up to `stop`.

    Args:
        source: What to send.
        start: Where to begin.
        stop: Where to end.
        take: Sends the next bytes, which are overwritten later; False to stop.

    Returns:
        Whether all of it was sent.

    Raises:
        StorageError: The file cannot be read, or ends before `stop`.
    """
    if isinstance(source, bytes):
        whole = memoryview(source)
        return all(take(whole[at : min(at + CACHED_PIECE, stop)]) for at in range(start, stop, CACHED_PIECE))
    with file_errors(f"read {source}"):
        file = source.open("rb", buffering=0)
    with file:
        file.seek(start)
        buffer = memoryview(bytearray(min(CACHED_PIECE, stop - start)))
        while start < stop:
            with file_errors(f"read {source}"):
                count = file.readinto(buffer[: stop - start])
            if not count:
                raise StorageError(f"{source} became shorter while it was sent")
            start += count
            if not take(buffer[:count]):
                return False
    return True


class Body(Protocol):
    """The body of a request or reply as it comes in; aiohttp's `StreamReader` is one."""

    async def readany(self) -> bytes:
        """Wait for bytes; none at the end."""
        ...


async def opened(upload: Callable[[], BlobWriter]) -> BlobWriter:
    """Open an upload on a thread; it is closed again where nobody waits for it any more."""
    return await in_thread(upload, undo=lambda writer: writer.close())


async def read_message(stream: Body, idle_s: float, whole_s: float | None = None) -> bytes:
    """Read a body that has to be a message.

    Args:
        stream: Where it comes from.
        idle_s: Longest wait for the next bytes, seconds.
        whole_s: Longest wait for all of it, seconds; five times `idle_s` where it is None. Byte by byte
            a message could take a year.

    Raises:
        ProtocolError: It is longer than `MAX_MESSAGE`.
        TransportError: Nothing came for `idle_s` seconds, or not all of it in `whole_s`.
    """
    body = bytearray()
    whole_s = 5 * idle_s if whole_s is None else whole_s
    try:
        async with asyncio.timeout(whole_s):
            while data := await _read(stream, idle_s):
                body += data
                if len(body) > MAX_MESSAGE:
                    raise ProtocolError(f"the message is too long; the limit is {MAX_MESSAGE} bytes")
    except TimeoutError:
        raise TransportError(f"a message was not whole after {whole_s:g} s") from None
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
