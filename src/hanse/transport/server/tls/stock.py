"""The event loop's own TLS in the place of ours: slower for long bodies, and a library's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from hanse.transport.server.tls.listener import BACKLOG, Bounds, Listener, Member


class StockListener(Listener):
    """Listens as `TlsListener` does, but lends no connection to a thread, and counts none.

    The tests of the transport run over both, so that ours can be removed.

    Args:
        context: What to listen with.
        protocol: Makes the protocol of a connection.
        bounds: What to put up with, but for the numbers of connections.
        _member: Distinguishes members from strangers, which are not counted here.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        bounds: Bounds,
        _member: Member,
    ) -> None:
        self._context = context
        self._protocol = protocol
        self._bounds = bounds
        self._server: asyncio.Server | None = None

    async def listen(self, host: str | None, port: int) -> int:
        """See `Listener.listen`."""
        self._server = await asyncio.get_running_loop().create_server(
            self._protocol,
            host,
            port,
            ssl=self._context,
            backlog=BACKLOG,
            ssl_handshake_timeout=self._bounds.handshake_s,
            ssl_shutdown_timeout=self._bounds.closing_s,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """See `Listener.close`."""
        if self._server is not None:
            self._server.close()
