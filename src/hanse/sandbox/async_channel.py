"""Messages between a worker and the process that started it: the latter's end, asynchronous.

Apart from the worker's end, because importing asyncio takes longer than starting Python.
"""

from __future__ import annotations

import asyncio
import socket

from hanse.sandbox.channel import LENGTH_BYTES, Message, decode, encode, gone, length


class AsyncChannel:
    """The starter's end of a channel.

    Any task may send; one may receive.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = asyncio.Lock()

    @staticmethod
    async def over(end: socket.socket) -> AsyncChannel:
        """Make a channel of one end of a socket pair, which it then owns."""
        return AsyncChannel(*await asyncio.open_unix_connection(sock=end))

    async def send(self, message: Message) -> None:
        """Send one message; waits while the worker does not read.

        Raises:
            ProtocolError: It is larger than `MAX_MESSAGE`; nothing was sent.
            TransportError: The worker has gone.
        """
        frame = encode(message)
        async with self._sending:
            try:
                self._writer.write(frame)
                await self._writer.drain()
            except (ConnectionError, RuntimeError) as error:  # uvloop: RuntimeError once it is closed
                raise gone() from error

    async def receive(self) -> Message | None:
        """Wait for the next message; None when the worker has gone, be it in the midst of one.

        Raises:
            ProtocolError: What came is no message.
        """
        try:
            prefix = await self._reader.readexactly(LENGTH_BYTES)
            body = await self._reader.readexactly(length(prefix))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return decode(body)

    def close(self) -> None:
        """Let go of the connection; the worker's `receive` then returns None."""
        self._writer.close()
