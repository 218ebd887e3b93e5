"""Takes TLS connections in: as many as may be, each after a handshake that may not last."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hanse.transport.server.seldom import SeldomLog
from hanse.transport.server.tls.connection import TlsConnection
from hanse.transport.server.tls.handshake import shake_hands
from hanse.transport.server.tls.strangers import Stranger, StrangerBudget, network_of

logger = logging.getLogger(__name__)

BACKLOG = 1_024
"""Connections that the system keeps until they are taken in."""
_MOST_AT_ONCE = 64
"""Connections that are taken in before those that are there have their turn."""
_BREATH_S = 1.0
"""Before the next connection is tried, when there are no more files to be had."""
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_STRANGER_CLOSING_S = 5.0
"""Longest wait for a stranger to hang up after this end has."""
_FULL_S = 0.05
"""Before the next connection is tried, when no stranger can be given up for it."""

Member = Callable[[bytes], str | None]
"""Names the member whose certificate (DER) this is; None where it is not, or not any more, a member's."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a listener puts up with.

    Attributes:
        connections: Most of members that are open at a time; more are closed at once.
        handshake_s: Longest that a handshake may take.
        closing_s: How long a peer may take to hang up after this end has.
        strangers: Most connections at a time, beside those of members, that are in their handshake
            or have shown no member's certificate.
    """

    connections: int
    handshake_s: float
    closing_s: float
    strangers: int = 256

    @property
    def of_one_network(self) -> int:
        """Most strangers from one network; members behind one gateway come from one, all at once at times."""
        return max(1, self.strangers // 2)

    @property
    def of_one_member(self) -> int:
        """Most connections of one member, so that no member takes those of all."""
        return max(16, self.connections // 4)


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
        member: Distinguishes members from strangers.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        bounds: Bounds,
        member: Member,
    ) -> None:
        self._context = context
        self._protocol = protocol
        self._bounds = bounds
        self._member = member
        self._listening: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._strangers = StrangerBudget(bounds.strangers, bounds.of_one_network)
        self._members: Counter[str] = Counter()
        """Open connections by member."""
        self._turned_away, self._refused = SeldomLog(logger), SeldomLog(logger)

    async def listen(self, host: str | None, port: int) -> int:
        """See `Listener.listen`."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                # The first one decides about the port.
                try:
                    listening = _listening(family, (address[0], port, *address[2:]))
                except OSError as error:
                    # A kernel without IPv6, or with it switched off, still names its addresses.
                    if host is None and family == socket.AF_INET6 and error.errno in _NO_FAMILY:
                        continue
                    raise
                self._listening.append(listening)
                port = listening.getsockname()[1]
            if not self._listening:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
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
            if not self._strangers.has_room():
                self._rest(listening, _FULL_S)
                return
            try:
                plain, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                logger.error("cannot take a connection in: %s", os.strerror(error.errno or 0))
                self._rest(listening, _BREATH_S)
                return
            self._take_in(plain, network_of(address[0]))

    def _take_in(self, plain: socket.socket, network: str) -> None:
        if self._members.total() >= self._bounds.connections:
            self._turned_away.warning("turned a connection away: no more may be open at a time")
            plain.close()
            return
        given_up = self._strangers.given_up
        stranger = self._strangers.take_in(network)
        if stranger is None or self._strangers.given_up > given_up:
            self._turned_away.warning(
                "gave a connection up: there are too many without a member's certificate, now from %s",
                network,
            )
        if stranger is None:
            plain.close()
            return
        handshake = asyncio.get_running_loop().create_task(self._shake_hands(plain, stranger))
        stranger.give_up = handshake.cancel
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)
        # Cancelled before it began, the task leaves the socket as it was.
        handshake.add_done_callback(lambda _: plain.close())

    def _rest(self, listening: socket.socket, seconds: float) -> None:
        def go_on() -> None:
            if listening.fileno() >= 0:
                loop.add_reader(listening.fileno(), self._accept, listening)

        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())
        loop.call_later(seconds, go_on)

    async def _shake_hands(self, plain: socket.socket, stranger: Stranger) -> None:
        stays = False
        try:
            connection = await self._shaken(plain, stranger)
            if connection is not None:
                stays = self._carry(connection, stranger)
        finally:
            if not stays:
                self._strangers.remove(stranger)

    async def _shaken(self, plain: socket.socket, stranger: Stranger) -> ssl.SSLSocket | None:
        def spoke() -> None:
            stranger.silent = False

        def refused(error: ssl.SSLError) -> None:
            self._refused.warning("refused a TLS handshake: %s", error)

        return await shake_hands(plain, self._context, self._bounds.handshake_s, spoke, refused)

    def _carry(self, connection: ssl.SSLSocket, stranger: Stranger) -> bool:
        """Have a protocol speak over a connection; whether it stays a stranger's."""
        certificate = connection.getpeercert(binary_form=True)
        member = None if certificate is None else self._member(certificate)
        if member is None:
            closing_s = min(self._bounds.closing_s, _STRANGER_CLOSING_S)
            ended: Callable[[], object] = partial(self._strangers.remove, stranger)
        elif self._enter(member):
            closing_s, ended = self._bounds.closing_s, partial(self._leave, member)
        else:
            connection.close()
            return False
        try:
            protocol = self._protocol()
            carried = TlsConnection(connection, protocol, closing_s, lambda _: ended(), self._new_protocol)
        except OSError:  # the peer is gone
            connection.close()
            ended()
            return False
        stranger.give_up = carried.abort
        return member is None

    def _enter(self, member: str) -> bool:
        """Count a connection of a member, if there may be one more."""
        if self._members.total() >= self._bounds.connections or (
            self._members[member] >= self._bounds.of_one_member
        ):
            self._turned_away.warning("turned a connection of %s away: no more may be open at a time", member)
            return False
        self._members[member] += 1
        return True

    def _leave(self, member: str) -> None:
        self._members[member] -= 1
        if not self._members[member]:
            del self._members[member]


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
