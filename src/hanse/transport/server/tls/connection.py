"""A server's end of a TLS connection, for an event loop as for a thread.

The event loops keep a connection's TLS in buffers of their own, which every byte is
copied into and out of, and which nobody else can use. Here TLS reads and writes the
socket itself: the loop where bytes are few, and a thread that a connection is lent
to where they are many.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from hanse.concurrency import in_thread

T = TypeVar("T")

_RECORD = 1 << 14
_MOST_AT_ONCE = 1 << 15
"""Bytes that are read of a connection before others have their turn, and whoever lends it for a body."""
_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsConnection(asyncio.Transport):
    """Carries a protocol once the handshake is done.

    Args:
        connection: Non-blocking, its handshake done.
        protocol: Who reads and writes.
        closing_s: How long the peer may take, after a close, for what is still to be sent and to hang up.
        closed: Called once, at the end.
        anew: Makes another protocol, see `renew`; None where there is to be none any more.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        protocol: asyncio.Protocol,
        closing_s: float,
        closed: Callable[[TlsConnection], object],
        anew: Callable[[], asyncio.Protocol | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._number = connection.fileno()
        self._protocol = protocol
        self._closing_s = closing_s
        self._closed = closed
        self._new_protocol = anew
        self._renewing = False
        self._switching = False
        self._unsent = bytearray()
        self._high, self._low = 1 << 16, 1 << 14
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._paused = False
        self._protocol_waits = False
        self._claimed = False
        self._lent = False
        self._closing = False
        self._hung_up = False
        self._done = False
        self._watched = {"read": False, "write": False}
        # Asked now: a connection that broke could not say any more.
        self._facts = {
            "certificate": connection.getpeercert(binary_form=True),
            "peername": connection.getpeername(),
            "sockname": connection.getsockname(),
        }
        self._deadline: asyncio.TimerHandle | None = None
        protocol.connection_made(self)
        self._watch()

    # What asyncio asks of a transport.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport`; `"certificate"` is the peer's, DER, or None."""
        match name:
            case "socket" | "ssl_object":
                return self._socket
            case "sslcontext":
                return self._socket.context
            case _:
                return self._facts.get(name, default)

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
        self._high = 1 << 16 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio.WriteTransport`."""
        return self._low, self._high

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
                rest = rest[self._send(rest) :]
            except OSError as error:
                self._break(error)
                return
        if rest:
            self._unsent += rest
            self._flushed.clear()
            self._watch()
            if len(self._unsent) > self._high and not self._protocol_waits:
                self._protocol_waits = True
                self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See `asyncio.WriteTransport`."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """See `asyncio.WriteTransport`: what is written is sent; the peer then has `closing_s` to hang up."""
        if self._closing or self._switching:
            return
        if self._renewing and (protocol := self._new_protocol()) is not None:
            self._switch(protocol)
            return
        self._closing = True
        if not self._claimed:
            self._hang_up_once_sent()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._break(None)

    # A protocol that something was read past.

    def replace_protocol(self) -> None:
        """Give the protocol nothing more to read, and when it closes, go on with a new one instead.

        For when a thread has read what the protocol still waits for.
        """
        self._renewing = True
        self.pause_reading()

    def _switch(self, protocol: asyncio.Protocol) -> None:
        before, self._protocol = self._protocol, protocol
        self._renewing, self._switching = False, True
        before.connection_lost(None)  # it closes once more
        self._switching = self._protocol_waits = False
        protocol.connection_made(self)
        self.resume_reading()
        self._go_on()

    # A connection on a thread.

    async def on_thread(self, work: Callable[[ssl.SSLSocket], T], idle_s: float, threads: Executor) -> T:
        """Have a thread use the connection; meanwhile nobody here reads, and what is written waits.

        Args:
            work: Gets the socket, which blocks, and raises TimeoutError after `idle_s`.
            idle_s: Longest wait for the peer, seconds.
            threads: Which run it.

        Raises:
            ConnectionError: The connection broke, whatever `OSError` says so.
            TimeoutError: The peer does not take what was written before.
            Exception: Whatever else `work` raises.
        """
        self._claimed = True
        self._watch()
        try:
            async with asyncio.timeout(idle_s):
                await self._flushed.wait()
            if self._done or self._hung_up:
                raise ConnectionResetError("the peer hung up")
            return await self._lend(work, idle_s, threads)
        finally:
            self._claimed = False
            self._go_on()

    async def _lend(self, work: Callable[[ssl.SSLSocket], T], idle_s: float, threads: Executor) -> T:
        self._lent = True
        self._watch()
        self._socket.settimeout(idle_s)
        try:
            return await in_thread(partial(work, self._socket), stop=self._interrupt, threads=threads)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:  # TLS and the system have more names for it
            raise ConnectionResetError(f"the connection broke: {error}") from error
        finally:
            self._lent = False
            if self._done:
                self._socket.close()
            else:
                self._socket.settimeout(0)

    def _go_on(self) -> None:
        """Take up what had to wait for a thread."""
        if self._done:
            return
        self._watch()
        if self._closing:
            self._hang_up_once_sent()
        elif not self._paused:
            self._loop.call_soon(self._readable)  # of what TLS has read already, the system knows nothing

    def _interrupt(self) -> None:
        with suppress(OSError):
            # Not SSLSocket's own: it drops the encryption before it closes anything.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    # What the loop says of the socket.

    def _watch(self) -> None:
        """Have the loop say what there is to do now, and nothing else."""
        here = not self._lent and not self._done
        wanted = {
            "read": here and (self._hung_up or not (self._paused or self._closing or self._claimed)),
            "write": here and not self._hung_up and bool(self._unsent),
        }
        if wanted["read"] != self._watched["read"]:
            if wanted["read"]:
                self._loop.add_reader(self._number, self._readable)
            else:
                self._loop.remove_reader(self._number)
        if wanted["write"] != self._watched["write"]:
            if wanted["write"]:
                self._loop.add_writer(self._number, self._writable)
            else:
                self._loop.remove_writer(self._number)
        self._watched = wanted

    def _readable(self) -> None:
        if self._lent or self._done:
            return
        if self._hung_up:
            self._drain()
            return
        if self._paused or self._closing or self._claimed:
            return
        pieces: list[bytes] = []
        at_end = False
        try:
            while len(pieces) < _MOST_AT_ONCE // _RECORD:
                pieces.append(self._socket.recv(_RECORD))
                at_end = not pieces[-1]
                if len(pieces[-1]) < _RECORD and not self._socket.pending():
                    break  # mostly all there is; if not, the loop will say so
            else:
                self._loop.call_soon(self._readable)  # of what TLS has read already, the system knows nothing
        except _WANTS:
            pass
        except OSError as error:
            self._break(error)
            return
        if data := b"".join(pieces):
            self._protocol.data_received(data)
        if at_end and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _writable(self) -> None:
        try:
            with memoryview(self._unsent) as unsent:
                sent = self._send(unsent)
        except OSError as error:
            self._break(error)
            return
        del self._unsent[:sent]
        if self._protocol_waits and len(self._unsent) <= self._low:
            self._protocol_waits = False
            self._protocol.resume_writing()
        if self._unsent:
            return
        self._flushed.set()
        self._watch()
        if self._closing and not self._claimed:
            self._hang_up_once_sent()

    def _send(self, data: memoryview) -> int:
        sent = 0
        with suppress(*_WANTS):
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + _RECORD])
        return sent

    # The end.

    def _hang_up_once_sent(self) -> None:
        """Say that no more comes. What still comes is dropped: unread, it would take back the answer."""
        self._watch()
        if self._lent or self._hung_up or self._done:
            return
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._closing_s, self._break, None)
        if self._unsent:
            return
        self._hung_up = True
        with suppress(OSError, ValueError):
            self._socket.unwrap()
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
        self._watch()
        self._drain()

    def _drain(self) -> None:
        try:
            while os.read(self._number, _MOST_AT_ONCE):
                pass
        except BlockingIOError:
            return
        except OSError:
            pass
        self._break(None)

    def _break(self, error: Exception | None) -> None:
        if self._done:
            return
        self._done = self._closing = True
        self._watch()
        self._flushed.set()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._lent:
            self._interrupt()
        else:
            self._socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._closed(self)
