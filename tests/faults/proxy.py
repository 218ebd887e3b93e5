"""A TCP proxy of the tests' own that does to connections what bad networks do; what it does is told to it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Direction = Literal["up", "down"]
"""Towards the aggregator, or from it."""

_PIECE = 1 << 16
_RECORDED = 1 << 20
"""Bytes of a connection's beginning that are kept for a repetition."""
_HELD_S = 1.0
"""Longest that a connection is held back for another to overtake it."""


@dataclass
class NetworkCondition:
    """How the network is; all of it may change at any time.

    Attributes:
        delay_s: Longest that a piece is on the way; each takes its own part of it.
        rate: Bytes a second of each connection and direction; None for as fast as it goes.
        hole: Swallows everything: accepts, and passes nothing on.
    """

    delay_s: float = 0.0
    rate: float | None = None
    hole: bool = False


@dataclass(eq=False)
class _Connection:
    ours: asyncio.StreamWriter
    theirs: asyncio.StreamWriter | None = None
    begin: bytearray = field(default_factory=bytearray)

    def end(self, *, reset: bool = False) -> None:
        for writer in (self.ours, self.theirs):
            if writer is None:
                continue
            if reset:  # a close that does not linger is a reset
                linger = struct.pack("ii", 1, 0)
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()  # after what it has been given


@dataclass(eq=False)
class _Cut:
    """A cut that is to come: of whichever connection first passes so many bytes."""

    direction: Direction
    after: int
    reset: bool


class Proxy:
    """Passes connections on to a local port, as well as the network is; belongs to one event loop.

    Args:
        target: The port.
        seed: Of all that is left to chance.

    Attributes:
        port: Where it listens itself.
        condition: How the network is.
        connections: How many there were.
        happened: What was done to connections, for people and tests.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.port = 0
        self.condition = NetworkCondition()
        self.connections = 0
        self.happened: list[str] = []
        self._random = random.Random(seed)
        self._open: set[_Connection] = set()
        self._cuts: list[_Cut] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._repeat = 0
        self._hold = 0
        self._overtaken = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a port that is free."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End it and all connections."""
        assert self._server is not None
        self._server.close()
        self.cut_all()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self, direction: Direction, after: int, *, reset: bool = False) -> None:
        """Cut the first connection that passes so many bytes from now on: in mid-body, if there is one.

        Args:
            direction: Whose bytes count.
            after: How many of them still pass; 0 loses the next message whole.
            reset: Whether the ends hear of it by RST; else by the end of the stream.
        """
        self._cuts.append(_Cut(direction, after, reset))

    def cut_all(self, *, reset: bool = False) -> None:
        """Cut every connection that is open."""
        for connection in list(self._open):
            connection.end(reset=reset)
        self._note(f"cut {len(self._open)} connections")

    def repeat_next(self, times: int = 1) -> None:
        """Send what comes over the next connection a second time, over another one, as a replayer would."""
        self._repeat += times

    def hold_next(self, times: int = 1) -> None:
        """Let the next connection be overtaken by the one after it."""
        self._hold += times

    def _note(self, what: str) -> None:
        self.happened.append(what)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._see_to(_Connection(writer), reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_to(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        self._open.add(connection)
        try:
            with suppress(OSError):
                await self._pass_on(connection, reader)
        finally:
            self._open.discard(connection)
            connection.end()

    async def _pass_on(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        await self._wait_to_be_overtaken()
        there, connection.theirs = await asyncio.open_connection("127.0.0.1", self.target)
        if self._hold == 0:
            self._overtaken.set()
        repeat = self._repeat > 0
        self._repeat -= repeat
        pumps = {
            asyncio.create_task(self._pump("up", connection, reader, connection.theirs)),
            asyncio.create_task(self._pump("down", connection, there, connection.ours)),
        }
        try:
            # One end that has ended ends the connection: HTTP as Hanse speaks it has no use for half of one.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        if repeat:
            await self._replay(bytes(connection.begin))

    async def _wait_to_be_overtaken(self) -> None:
        if self._hold == 0:
            return
        self._hold -= 1
        self._overtaken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_HELD_S):
                await self._overtaken.wait()
                self._note("a connection was overtaken")

    async def _pump(
        self,
        direction: Direction,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(_PIECE):
            await self._travel(len(data))
            passing, cut = self._what_passes(direction, data)
            if direction == "up":
                connection.begin += passing[: _RECORDED - len(connection.begin)]
            writer.write(passing)
            await writer.drain()
            if cut is not None:
                self._note(f"cut a connection {direction} in the middle")
                connection.end(reset=cut.reset)
                return

    def _what_passes(self, direction: Direction, data: bytes) -> tuple[bytes, _Cut | None]:
        """How much of a piece still passes, and the cut that comes after it."""
        for cut in self._cuts:
            if cut.direction == direction:
                if cut.after < len(data):
                    self._cuts.remove(cut)
                    return data[: cut.after], cut
                cut.after -= len(data)
        return data, None

    async def _travel(self, length: int) -> None:
        """Take as long as a piece takes in this condition."""
        while self.condition.hole:
            await asyncio.sleep(0.02)
        if self.condition.delay_s:
            await asyncio.sleep(self._random.uniform(0, self.condition.delay_s))
        if self.condition.rate:
            await asyncio.sleep(length / self.condition.rate)

    async def _replay(self, data: bytes) -> None:
        """Send the bytes of a connection again; the answer is of no interest, only that it does no harm."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(data)
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(_HELD_S):
                    answered = len(await reader.read())
                    self._note(f"replayed {len(data)} bytes, answered by {answered}")
        finally:
            writer.transport.abort()


class Network:
    """An event loop on a thread of its own, on which proxies pass on what goes over them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._proxies: list[Proxy] = []
        self._thread.start()

    def proxy(self, target: int, seed: int = 0) -> Proxy:
        """A proxy to a local port, started."""

        async def start() -> Proxy:
            proxy = Proxy(target, seed)
            await proxy.start()
            return proxy

        self._proxies.append(self._run(start()))
        return self._proxies[-1]

    def do(self, act: Callable[[], None]) -> None:
        """Do something to a proxy, on the loop that it belongs to."""

        async def call() -> None:
            act()

        self._run(call())

    def close(self) -> None:
        """End all proxies."""
        for proxy in self._proxies:
            self._run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)


@contextmanager
def lasting(network: Network, proxy: Proxy, seconds: float, **condition: Any) -> Iterator[None]:
    """Have the network be bad around a block, and at least for some time."""
    before, begin = proxy.condition, time.monotonic()
    network.do(lambda: setattr(proxy, "condition", NetworkCondition(**condition)))
    try:
        yield
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
    finally:
        network.do(lambda: setattr(proxy, "condition", before))
