"""Bad networks to test with: a relay that cuts connections, a proxy, servers that are something else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve each connection of a free local port with `handle`; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle_quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await handle(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle_quietly, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answer_with(reply: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a request and send these bytes, whatever it was."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(reply)
    await writer.drain()
    await reader.read()


class Relay:
    """Passes bytes on to a local port; the first connection breaks after so many of them.

    Attributes:
        up: Bytes to let through towards the server on the first connection.
        down: Bytes to let through from the server on the first connection.
        cut: Set when the first connection may break; else it stalls until then.
        connections: How many there were.
        proxied: What proxy clients asked for, by CONNECT.
    """

    def __init__(self, port: int, *, up: int = 1 << 60, down: int = 1 << 60) -> None:
        self.port = port
        self.up = up
        self.down = down
        self.cut = asyncio.Event()
        self.connections = 0
        self.proxied: list[str] = []

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up, down = (self.up, self.down) if self.connections == 1 else (1 << 60, 1 << 60)
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            directions = {
                asyncio.create_task(self._pump(reader, back, up)),
                asyncio.create_task(self._pump(there, writer, down)),
            }
            _, rest = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        finally:
            back.transport.abort()

    async def proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.proxied.append(head.splitlines()[0])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self.pass_on(reader, writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
        while data := await reader.read(min(limit, 1 << 16)):
            writer.write(data)
            await writer.drain()
            limit -= len(data)
            if not limit:
                await self.cut.wait()
                return
