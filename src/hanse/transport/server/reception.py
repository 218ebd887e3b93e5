"""Receives connections: members and strangers, each with the patience that is for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from aiohttp import web

from hanse.errors import HanseError
from hanse.transport.server.replies import certificate_over
from hanse.transport.service import Service


class Reception:
    """Decides by the certificate of a connection which of two servers its requests are for.

    A stranger's first request has to be whole in so many seconds, else its connection is ended.

    Args:
        service: Knows members.
        members: Serves the connections of members.
        strangers: Serves all others.
        request_s: How long a stranger's first request may take, from the end of the handshake, seconds.
    """

    def __init__(
        self, service: Service, members: web.Server, strangers: web.Server, request_s: float
    ) -> None:
        self._service = service
        self._servers = members, strangers
        self._request_s = request_s
        self._awaited: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        """Connections whose first request is not whole yet, with the timers that end them."""

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a connection, which gives way once the certificate is known."""
        return _Usher(self._begin)

    def member(self, certificate: bytes) -> str | None:
        """Name the member whose certificate (DER) this is; None where it is not a member's any more."""
        try:
            return self._service.admit(certificate).party.uri
        except HanseError:
            return None

    def request_came(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that a request is whole."""
        if transport is not None and (timer := self._awaited.pop(transport, None)) is not None:
            timer.cancel()

    async def close(self, closing_s: float) -> None:
        """End all connections.

        Args:
            closing_s: How long requests under way may still take, seconds.
        """
        for timer in self._awaited.values():
            timer.cancel()
        self._awaited.clear()
        for server in self._servers:
            server.pre_shutdown()
        await asyncio.gather(*(server.shutdown(closing_s) for server in self._servers))

    def _begin(self, transport: asyncio.Transport) -> None:
        members, strangers = self._servers
        certificate = certificate_over(transport)
        if certificate is not None and self.member(certificate) is not None:
            protocol = members()
        else:
            protocol = strangers()
            loop = asyncio.get_running_loop()
            self._awaited[transport] = loop.call_later(self._request_s, self._end, transport)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _end(self, transport: asyncio.Transport) -> None:
        self._awaited.pop(transport, None)
        transport.abort()


class _Usher(asyncio.Protocol):
    def __init__(self, begin: Callable[[asyncio.Transport], None]) -> None:
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._begin(cast(asyncio.Transport, transport))
