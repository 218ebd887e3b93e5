"""Large bodies straight from TLS into buffers of our own, past the HTTP parser.

What aiohttp receives passes through a parser, a queue and several copies, which
costs as much again as the encryption. Once the head of a message is read, the rest
of a long body is nothing but bytes: here they are decrypted right into a buffer that
a thread then writes from, while the next one fills. The parser never sees the end of
the body, so that the connection has to be closed after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from hanse.errors import TransportError
from hanse.transport.streams import PIECE, in_thread

WORTH_IT = 4 * PIECE
"""Bytes of a body from which on taking over costs less than the next connection's handshake."""

_SMALL_PIECE = PIECE >> 4
_MOST_LARGE = 64
"""Buffers of the size of a piece that all transfers have together; more transfers get small ones."""


class Begun(Protocol):
    """A body of which the parser has the beginning; aiohttp's `StreamReader` is one."""

    def read_nowait(self, n: int = -1) -> bytes:
        """Take bytes that are here."""
        ...


class _Pool:
    """Counts the large buffers that are in use; belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self) -> bytearray:
        if not self._left:
            return bytearray(_SMALL_PIECE)
        self._left -= 1
        return bytearray(PIECE)

    def give_back(self, buffer: bytearray) -> None:
        self._left += len(buffer) == PIECE


_pool = _Pool(_MOST_LARGE)


async def take_over(
    transport: asyncio.Transport,
    begun: Begun,
    length: int,
    write: Callable[[memoryview], object],
    idle_s: float,
) -> None:
    """Receive the rest of a body, and write it on a thread; what came before an error is written too.

    Afterwards the connection is of no more use than to answer and to be closed.

    Args:
        transport: The connection; nobody reads from it meanwhile.
        begun: What the parser has of the body.
        length: Bytes of the whole body.
        write: Takes the next bytes, which are overwritten later.
        idle_s: Longest wait for bytes, seconds.

    Raises:
        TransportError: Nothing came for `idle_s` seconds.
        ConnectionResetError: The connection broke.
        HanseError: Whatever `write` raises.
    """
    behind = cast(asyncio.Protocol, transport.get_protocol())
    first = begun.read_nowait()
    body = _Body(transport, behind, length - len(first))
    transport.set_protocol(body)
    transport.resume_reading()  # the parser may have had enough for the moment; from here on the body decides
    try:
        if first:
            await in_thread(partial(write, memoryview(first)))
        while (full := await body.next_full(idle_s)) is not None:
            buffer, filled = full
            await in_thread(partial(write, memoryview(buffer)[:filled]))
            body.recycle(buffer)
    except (TransportError, ConnectionError):
        if rest := body.rest():
            await in_thread(partial(write, rest))
        raise
    finally:
        transport.pause_reading()
        body.close()
        transport.set_protocol(behind)


class _Body(asyncio.BufferedProtocol):
    """Stands in for aiohttp's protocol until so many bytes have come."""

    def __init__(self, transport: asyncio.Transport, behind: asyncio.Protocol, length: int) -> None:
        self._transport = transport
        self._behind = behind
        self._left = length
        self._free = [_pool.take()]
        self._filling = _pool.take()
        self._filled = 0
        self._full: deque[tuple[bytearray, int]] = deque()
        self._changed = asyncio.Event()
        self._came_s = asyncio.get_running_loop().time()
        self._error: BaseException | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; not called while reading is paused, as it is when there is no room."""
        room = min(len(self._filling) - self._filled, self._left)
        return memoryview(self._filling)[self._filled : self._filled + room]

    def buffer_updated(self, nbytes: int) -> None:
        """Note what came; turn to the other buffer where this one is full."""
        self._came_s = asyncio.get_running_loop().time()
        self._filled += nbytes
        self._left -= nbytes
        if self._left and self._filled < len(self._filling):
            return
        self._full.append((self._filling, self._filled))
        self._filled = 0
        if self._left and self._free:
            self._filling = self._free.pop()
        else:
            self._filling = bytearray()
            self._transport.pause_reading()
        self._changed.set()

    async def next_full(self, idle_s: float) -> tuple[bytearray, int] | None:
        """Wait for the next buffer to write, and how much of it; None after the last."""
        while not self._full:
            if not self._left:
                return None
            if self._error is not None:
                raise ConnectionResetError("the connection broke in the middle of a body") from self._error
            self._changed.clear()
            now_s = asyncio.get_running_loop().time()
            if now_s - self._came_s >= idle_s:
                raise TransportError(f"nothing came for {idle_s:g} s in the middle of a body")
            try:
                async with asyncio.timeout(self._came_s + idle_s - now_s):
                    await self._changed.wait()
            except TimeoutError:
                continue  # something may have come since
        return self._full.popleft()

    def recycle(self, buffer: bytearray) -> None:
        """Take back a buffer that was written."""
        if self._filling or not self._left:
            self._free.append(buffer)
            return
        self._filling = buffer
        self._came_s = asyncio.get_running_loop().time()  # the peer had to wait for us
        self._transport.resume_reading()

    def rest(self) -> memoryview:
        """What came of a buffer that is not full."""
        return memoryview(self._filling)[: self._filled]

    def close(self) -> None:
        """Give the buffers back."""
        for buffer in (*self._free, self._filling, *(buffer for buffer, _ in self._full)):
            _pool.give_back(buffer)

    def pause_writing(self) -> None:
        """For the protocol behind this one, which writes the answer."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """For the protocol behind this one."""
        self._behind.resume_writing()

    def eof_received(self) -> bool:
        """The peer says no more; the loss of the connection follows."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits, and tell the protocol behind this one."""
        self._error = exc or ConnectionResetError("the peer hung up")
        self._changed.set()
        self._behind.connection_lost(exc)
