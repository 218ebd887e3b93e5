"""A TLS connection as a transport of asyncio, on the event loop alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

from hanse.transport.server.tls.socket import TlsSocket
from hanse.transport.server.tls.write_buffer import WriteBuffer


class TlsTransport(asyncio.Transport):
    """Carries a protocol once the handshake is done; begins with `begin`.

    A subclass may take the socket away for a while: nothing is read while it is `_claimed`, and
    it is not touched while it is `_lent`.

    Args:
        connection: Non-blocking, its handshake done.
        protocol: Who reads and writes.
        closing_s: How long the peer may take, after a close, for what is still to be sent and to hang up.
        closed: Called once, at the end.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        protocol: asyncio.Protocol,
        closing_s: float,
        closed: Callable[[], object],
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = TlsSocket(connection, self._readable, self._writable)
        self._protocol = protocol
        self._closing_s = closing_s
        self._closed = closed
        self._unsent = WriteBuffer()
        self._paused = False
        self._claimed = False
        self._lent = False
        self._closing = False
        self._hung_up = False
        self._done = False
        self._deadline: asyncio.TimerHandle | None = None

    # What asyncio asks of a transport.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`; `"certificate"` is the peer's, DER, or None."""
        match name:
            case "socket" | "ssl_object":
                return self._socket.connection
            case "sslcontext":
                return self._socket.connection.context
            case _:
                return self._socket.facts.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport`."""
        return self._protocol

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._closing

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport`."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._paused = True
        self._watch()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self._paused = False
        self._watch()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport`."""
        self._unsent.high = 1 << 16 if high is None else high
        self._unsent.low = self._unsent.high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio.WriteTransport`."""
        return self._unsent.low, self._unsent.high

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport`: TLS has no end of one direction."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        if self._closing or not data:
            return
        rest = memoryview(data).cast("B")
        if not self._unsent and not self._lent:
            try:
                rest = rest[self._socket.send(rest) :]
            except OSError as error:
                self._break(error)
                return
        if rest:
            self._unsent.add(rest, self._protocol)
            self._watch()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See `asyncio.WriteTransport`."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """See `asyncio.WriteTransport`: what is written is sent; the peer then has `closing_s` to hang up."""
        if self._closing:
            return
        self._closing = True
        if not self._claimed:
            self._hang_up_once_sent()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._break(None)

    def begin(self) -> None:
        """Have the protocol read and write from now on."""
        self._protocol.connection_made(self)
        self._go_on()

    def _go_on(self) -> None:
        """Take up what had to wait."""
        if self._done:
            return
        self._watch()
        if self._closing:
            self._hang_up_once_sent()
        elif not self._paused:
            self._loop.call_soon(self._readable)  # of what TLS has read already, the system knows nothing

    # What the loop says of the socket.

    def _watch(self) -> None:
        here = not self._lent and not self._done
        self._socket.watch(
            read=here and (self._hung_up or self._reads()),
            write=here and not self._hung_up and len(self._unsent) > 0,
        )

    def _reads(self) -> bool:
        return not (self._paused or self._closing or self._claimed)

    def _readable(self) -> None:
        if self._lent or self._done:
            return
        if self._hung_up:
            self._drain()
            return
        if not self._reads():
            return
        try:
            came = self._socket.receive()
        except OSError as error:
            self._break(error)
            return
        if came.more:
            self._loop.call_soon(self._readable)
        if came.data:
            self._protocol.data_received(came.data)
        if came.at_end and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _writable(self) -> None:
        try:
            with self._unsent.view() as unsent:
                sent = self._socket.send(unsent)
        except OSError as error:
            self._break(error)
            return
        self._unsent.remove(sent, self._protocol)
        if self._unsent:
            return
        self._watch()
        if self._closing and not self._claimed:
            self._hang_up_once_sent()

    # The end.

    def _hang_up_once_sent(self) -> None:
        self._watch()
        if self._lent or self._hung_up or self._done:
            return
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._closing_s, self._break, None)
        if self._unsent:
            return
        self._hung_up = True
        self._socket.hang_up()
        self._watch()
        self._drain()

    def _drain(self) -> None:
        if self._socket.drain():
            self._break(None)

    def _break(self, error: Exception | None) -> None:
        if self._done:
            return
        self._done = self._closing = True
        self._watch()
        self._unsent.empty.set()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._lent:
            self._socket.interrupt()
        else:
            self._socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._closed()
