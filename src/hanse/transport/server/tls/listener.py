"""Takes TLS connections in: as many as may be, each after a handshake that may not last."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Protocol

from hanse.transport.server.tls.connection import TlsConnection

logger = logging.getLogger(__name__)

BACKLOG = 1_024
"""Connections that the system keeps until they are taken in."""
_MOST_AT_ONCE = 64
"""Connections that are taken in before those that are there have their turn."""
_BREATH_S = 1.0
"""Before the next connection is tried, when there are no more files to be had."""
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ALERT_S = 5.0
"""How long a peer whose handshake failed may take to read why."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a listener puts up with.

    Attributes:
        connections: Most that are open at a time, handshakes included; more are closed at once.
        handshake_s: Longest that a handshake may take.
        closing_s: How long a peer may take to hang up after this end has.
    """

    connections: int
    handshake_s: float
    closing_s: float


class Listener(Protocol):
    """Takes TLS connections in."""

    async def listen(self, host: str | None, port: int) -> int:
        """Begin.

        Args:
            host: Address, or the name of several; None for every one of this machine.
            port: TCP port; 0 for one that is free.

        Returns:
            The port.

        Raises:
            OSError: The address is in use, or not one of this machine.
        """
        ...

    def close(self) -> None:
        """Take no more in; connections go on."""
        ...


class TlsListener(Listener):
    """Listens on a port of one or several addresses.

    Args:
        context: What to listen with.
        protocol: Makes the protocol of a connection.
        bounds: What to put up with.
    """

    def __init__(
        self, context: ssl.SSLContext, protocol: Callable[[], asyncio.Protocol], bounds: Bounds
    ) -> None:
        self._context = context
        self._protocol = protocol
        self._bounds = bounds
        self._listening: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._open: set[TlsConnection] = set()

    async def listen(self, host: str | None, port: int) -> int:
        """See `Listener.listen`."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                # The first one decides about the port.
                self._listening.append(_listening(family, (address[0], port, *address[2:])))
                port = self._listening[-1].getsockname()[1]
        except BaseException:
            self.close()
            raise
        for listening in self._listening:
            loop.add_reader(listening.fileno(), self._accept, listening)
        return port

    def close(self) -> None:
        """See `Listener.close`."""
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            loop.remove_reader(listening.fileno())
            listening.close()
        self._listening.clear()
        for handshake in self._handshakes:
            handshake.cancel()

    def _new_protocol(self) -> asyncio.Protocol | None:
        return self._protocol() if self._listening else None

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                plain, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                logger.error("cannot take a connection in: %s", os.strerror(error.errno or 0))
                self._rest(listening)
                return
            if len(self._handshakes) + len(self._open) >= self._bounds.connections:
                logger.warning("turned a connection away: no more may be open at a time")
                plain.close()
                continue
            handshake = asyncio.get_running_loop().create_task(self._shake_hands(plain))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    def _rest(self, listening: socket.socket) -> None:
        def go_on() -> None:
            if listening.fileno() >= 0:
                loop.add_reader(listening.fileno(), self._accept, listening)

        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())
        loop.call_later(_BREATH_S, go_on)

    async def _shake_hands(self, plain: socket.socket) -> None:
        plain.setblocking(False)
        with suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        try:
            connection = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError:  # the peer is gone
            plain.close()
            return
        try:
            async with asyncio.timeout(self._bounds.handshake_s):
                await _handshake(connection)
            carried = TlsConnection(
                connection, self._protocol(), self._bounds.closing_s, self._open.discard, self._new_protocol
            )
        except ssl.SSLError as error:
            logger.warning("refused a TLS handshake: %s", error)
            with closing(connection):
                await _let_read(connection)  # TLS has told the peer why
        except OSError:  # the peer is gone, or took too long
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            self._open.add(carried)


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    """A socket that listens (as `socket.create_server`, for any kind of address)."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


async def _handshake(connection: ssl.SSLSocket) -> None:
    while True:
        try:
            connection.do_handshake()
            return
        except ssl.SSLWantReadError:
            await _ready(connection, write=False)
        except ssl.SSLWantWriteError:
            await _ready(connection, write=True)


async def _ready(connection: ssl.SSLSocket, *, write: bool) -> None:
    loop, number = asyncio.get_running_loop(), connection.fileno()
    ready = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add(number, note)
    try:
        await ready
    finally:
        remove(number)


async def _let_read(connection: ssl.SSLSocket) -> None:
    """Let the peer read what was sent: a connection that is closed with bytes unread takes it back."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_WR)
        async with asyncio.timeout(_ALERT_S):
            while True:
                await _ready(connection, write=False)
                if not os.read(connection.fileno(), 1 << 16):
                    return
