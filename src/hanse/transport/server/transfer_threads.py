"""Long bodies at the server: threads that move them, and a few at a time at full speed."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from hanse.transport.body_io import send
from hanse.transport.server.tls.connection import TlsConnection

T = TypeVar("T")

_PROCESSORS = os.cpu_count() or 1
WORTH_LENDING = 1 << 18
"""Bytes from which on a body is moved by a thread, which costs less than the event loop's buffers."""
FULL_SPEED = 50_000_000
"""Bytes a second; who takes less is slowed down by a link or a peer, and not by this machine."""
_FIRST_S = 0.05
"""Before that, the system's own buffers take what the peer does not."""


class TransferThreads:
    """Moves bodies on threads; belongs to one event loop.

    All at once, bodies that only this machine limits would each take as long as all together: no site
    could begin with its task before all of them can, and processors would be switching between them.
    So a few at a time are sent, in the order in which they were asked for.

    Args:
        most: Threads.
        at_once: Bodies that are sent at full speed at a time.
        clock: Seconds that pass, from any start.
    """

    def __init__(
        self,
        most: int = 32 * _PROCESSORS,
        at_once: int = _PROCESSORS + 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="bodies")
        self._left = most
        self._turns = asyncio.Semaphore(at_once)
        self._clock = clock

    def has_free_thread(self) -> bool:
        """Whether there is a thread. A body for which there is none goes by the event loop, more slowly:
        peers who let theirs trickle must not have others wait."""
        return self._left > 0

    async def receive(
        self, connection: TlsConnection, take: Callable[[ssl.SSLSocket], T], idle_s: float
    ) -> T:
        """Receive a body; to be called where `has_free_thread`.

        Args:
            connection: Where it comes from.
            take: Receives it, and gives what came of it.
            idle_s: Longest wait for the next bytes, seconds.

        Raises:
            ConnectionError: The connection broke.
            TimeoutError: The peer does not take what was written before.
            Exception: Whatever `take` raises.
        """
        with self._thread():
            return await connection.on_thread(take, idle_s, self._threads)

    async def send(self, connection: TlsConnection, path: Path, start: int, stop: int, idle_s: float) -> None:
        """Send a file from `start` up to `stop`; to be called where `has_free_thread`.

        Raises:
            StorageError: The file cannot be read, or ends before `stop`.
            ConnectionError: The connection broke.
            TimeoutError: The peer took nothing for `idle_s`.
        """
        with self._thread():  # also while it waits
            async with self._turn(min((stop - start) / FULL_SPEED, idle_s / 2)) as over:
                work = partial(_pour_out, path, start, stop, _Pace(self._clock, over))
                await connection.on_thread(work, idle_s, self._threads)

    def close(self) -> None:
        """Let go of the threads, once what they do is done."""
        self._threads.shutdown(wait=False)

    @contextmanager
    def _thread(self) -> Iterator[None]:
        """One of the threads is spoken for."""
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1

    @asynccontextmanager
    async def _turn(self, patience_s: float) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn, but not for longer than this; what ends it, called on any thread."""
        loop, has_turn = asyncio.get_running_loop(), False

        def end() -> None:
            nonlocal has_turn
            if has_turn:
                has_turn = False
                self._turns.release()

        def end_soon() -> None:
            loop.call_soon_threadsafe(end)

        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                has_turn = await self._turns.acquire()
        try:
            yield end_soon
        finally:
            end()


class _Pace:
    """Notices that a body is no longer sent at full speed.

    Args:
        clock: Seconds that pass.
        slow: Called once when it is.
    """

    def __init__(self, clock: Callable[[], float], slow: Callable[[], None]) -> None:
        self._clock = clock
        self._slow: Callable[[], None] | None = slow
        self._began = clock()
        self._sent = 0

    def sent(self, count: int) -> None:
        """So many more bytes are sent."""
        self._sent += count
        if self._slow is not None:
            passed = self._clock() - self._began
            if passed > _FIRST_S and self._sent < passed * FULL_SPEED:
                self._slow()
                self._slow = None


def _pour_out(path: Path, start: int, stop: int, pace: _Pace, goal: ssl.SSLSocket) -> None:
    def take(piece: memoryview) -> bool:
        goal.sendall(piece)
        pace.sent(len(piece))
        return True

    send(path, start, stop, take)
