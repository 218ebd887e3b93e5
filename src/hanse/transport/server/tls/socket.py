"""The socket under a server's TLS connection: records in and out, and what the event loop says of it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

_RECORD = 1 << 14
_MOST_AT_ONCE = 1 << 15
"""Bytes that are read of a connection before others, or a thread that takes a body, have their turn."""
_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Received(NamedTuple):
    """Bytes that a peer sent.

    Attributes:
        data: The bytes.
        at_end: Whether the peer sends no more.
        more: Whether TLS may have read more, of which the system knows nothing.
    """

    data: bytes
    at_end: bool
    more: bool


class TlsSocket:
    """A TLS socket that the event loop watches; TLS reads and writes it directly.

    Args:
        connection: Non-blocking, its handshake done.
        readable: Called on the loop when there is something to read, where `watch` asked for it.
        writable: Called on the loop when something can be sent, where `watch` asked for it.

    Attributes:
        connection: The socket itself.
        facts: What a transport says of it: names of both ends, and the peer's certificate.
    """

    def __init__(
        self, connection: ssl.SSLSocket, readable: Callable[[], object], writable: Callable[[], object]
    ) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._number = connection.fileno()
        self._readable, self._writable = readable, writable
        self._reads = self._writes = False
        # Asked now: a connection that broke could not say any more.
        self.facts = {
            "certificate": connection.getpeercert(binary_form=True),
            "peername": connection.getpeername(),
            "sockname": connection.getsockname(),
        }

    def watch(self, *, read: bool, write: bool) -> None:
        """Have the loop say when there is something to read or to write, and nothing else."""
        if read and not self._reads:
            self._loop.add_reader(self._number, self._readable)
        elif self._reads and not read:
            self._loop.remove_reader(self._number)
        if write and not self._writes:
            self._loop.add_writer(self._number, self._writable)
        elif self._writes and not write:
            self._loop.remove_writer(self._number)
        self._reads, self._writes = read, write

    def receive(self) -> Received:
        """Read what is there, but not more than is fair to others.

        Raises:
            OSError: The connection broke.
        """
        pieces: list[bytes] = []
        with suppress(*_WANTS):
            while len(pieces) < _MOST_AT_ONCE // _RECORD:
                pieces.append(self.connection.recv(_RECORD))
                if len(pieces[-1]) < _RECORD and not self.connection.pending():
                    # Mostly all there is; if not, the loop will say so.
                    return Received(b"".join(pieces), not pieces[-1], False)
            return Received(b"".join(pieces), False, True)
        return Received(b"".join(pieces), False, False)

    def send(self, data: memoryview) -> int:
        """Send what the system takes now; how much that was.

        Raises:
            OSError: The connection broke.
        """
        sent = 0
        with suppress(*_WANTS):
            while sent < len(data):
                sent += self.connection.send(data[sent : sent + _RECORD])
        return sent

    def hang_up(self) -> None:
        """Say that no more comes."""
        with suppress(OSError, ValueError):
            self.connection.unwrap()
        with suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_WR)

    def drain(self) -> bool:
        """Discard what still comes, which would cancel what was sent; whether the peer has hung up."""
        try:
            while os.read(self._number, _MOST_AT_ONCE):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def interrupt(self) -> None:
        """End every wait for the socket, also that of another thread; its number stays taken."""
        with suppress(OSError):
            # Not SSLSocket's own: it ends the encryption before it closes anything.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        self.connection.close()
