"""A server's end of a TLS connection, for an event loop as for a thread.

The event loops keep a connection's TLS in buffers of their own, which every byte is
copied into and out of, and which nobody else can use. Here TLS reads and writes the
socket itself: the loop where bytes are few, and a thread that a connection is lent
to where they are many.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from hanse.concurrency import in_thread
from hanse.transport.server.tls.transport import TlsTransport

T = TypeVar("T")


class TlsConnection(TlsTransport):
    """A connection that can be lent to a thread, and go on with another protocol after that.

    Args:
        connection: Non-blocking, its handshake done.
        protocol: Who reads and writes.
        closing_s: How long the peer may take, after a close, for what is still to be sent and to hang up.
        closed: Called once, at the end.
        new_protocol: Makes another protocol, see `replace_protocol`; None where there is to be none any more.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        protocol: asyncio.Protocol,
        closing_s: float,
        closed: Callable[[TlsConnection], object],
        new_protocol: Callable[[], asyncio.Protocol | None] = lambda: None,
    ) -> None:
        super().__init__(connection, protocol, closing_s, lambda: closed(self))
        self._new_protocol = new_protocol
        self._renewing = False
        self._switching = False
        self.begin()

    def close(self) -> None:
        """See `TlsTransport.close`; after `replace_protocol`, a new protocol begins instead."""
        if self._closing or self._switching:
            return
        if self._renewing and (protocol := self._new_protocol()) is not None:
            self._switch(protocol)
            return
        super().close()

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
                await self._unsent.empty.wait()
            if self._done or self._hung_up:
                raise ConnectionResetError("the peer hung up")
            return await self._lend(work, idle_s, threads)
        finally:
            self._claimed = False
            self._go_on()

    async def _lend(self, work: Callable[[ssl.SSLSocket], T], idle_s: float, threads: Executor) -> T:
        self._lent = True
        self._watch()
        connection = self._socket.connection
        connection.settimeout(idle_s)
        try:
            return await in_thread(partial(work, connection), stop=self._socket.interrupt, threads=threads)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:  # TLS and the system have more names for it
            raise ConnectionResetError(f"the connection broke: {error}") from error
        finally:
            self._lent = False
            if self._done:
                self._socket.close()
            else:
                connection.settimeout(0)

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
        self._switching = False
        self._unsent.forget_protocol()
        self._paused = False
        self.begin()
