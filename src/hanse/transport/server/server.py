"""Serves an aggregator over HTTPS: one port, TLS 1.3, every wait and every size bounded."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hanse import fault_points
from hanse.errors import ConfigError, HanseError, InternalError, ProtocolError
from hanse.fault_points import FaultPoint, reach_async
from hanse.transport.api.dispatch import admit, answer
from hanse.transport.api.route import Bulk, Call, Route
from hanse.transport.api.routes import find
from hanse.transport.body_io import PIECE, read_message
from hanse.transport.server.files import HANDLERS, Asked
from hanse.transport.server.reception import Reception
from hanse.transport.server.replies import agree, certificate_of, refuse, reply
from hanse.transport.server.seldom import SeldomLog
from hanse.transport.server.tls.listener import Bounds, Listener, Member, TlsListener
from hanse.transport.server.transfer_threads import WORTH_LENDING, TransferThreads
from hanse.transport.service import Service
from hanse.wire.messages.basics import Empty

logger = logging.getLogger(__name__)
_parser_logger = logging.getLogger(f"{__name__}.parser")
"""For aiohttp to log with."""
_unreadable = SeldomLog(_parser_logger)

MakeListener = Callable[[ssl.SSLContext, Callable[[], asyncio.Protocol], Bounds, Member], Listener]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a server puts up with.

    The request line and each header end at 8190 bytes, as aiohttp sets it, and a
    message at `MAX_MESSAGE`; how large an upload may be, the service decides.

    Attributes:
        connections: Most of members that are open at a time; more are closed at once.
        strangers: Most that are open at a time, besides, whose peers have shown no member's certificate;
            of more, some are given up.
        handshake_s: Longest that a TLS handshake may take.
        request_s: How long a request may take of a peer without a member's certificate, and how long
            such a connection may stand without one.
        idle_s: Longest wait for the next bytes of a body, or for a peer to take some.
        keepalive_s: How long a connection may stand without a request; clients let
            go earlier, so that neither meets a connection that the other just closed.
        closing_s: How long requests under way may still take when the server closes.
        worth_lending: Bytes from which on a thread moves a body.
    """

    connections: int = 4_096
    strangers: int = 256
    handshake_s: float = 10.0
    request_s: float = 5.0
    idle_s: float = 30.0
    keepalive_s: float = 75.0
    closing_s: float = 0.5
    worth_lending: int = WORTH_LENDING


class HttpsServer:
    """One HTTPS port in front of a service.

    Args:
        service: Who answers.
        ssl_context: From `hanse.pki.tls.server_context`, for this server alone.
        host: Address to listen on; None or `::` for every one of this machine, of IPv6 and of IPv4.
        port: TCP port; 0 for one that is free.
        limits: What to put up with.
        transfer_threads: Moves long bodies; the server closes it.
        listener: Takes connections in. Only those of `TlsListener` can be lent to threads.
    """

    def __init__(
        self,
        service: Service,
        ssl_context: ssl.SSLContext,
        host: str | None = None,
        port: int = 0,
        limits: ConnectionLimits = ConnectionLimits(),
        *,
        transfer_threads: TransferThreads | None = None,
        listener: MakeListener = TlsListener,
    ) -> None:
        self._service = service
        self._ssl_context = ssl_context
        self._host = None if host == "::" else host
        self._port = port
        self._limits = limits
        self._make_listener = listener
        self._listener: Listener | None = None
        self._reception: Reception | None = None
        self._transfer_threads = transfer_threads or TransferThreads()

    @property
    def port(self) -> int:
        """The TCP port; once started, the one that is listened on."""
        return self._port

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: The address is in use, or not one of this machine.
        """
        limits = self._limits
        reception = self._reception = Reception(
            self._service,
            self._server(self._handle, limits.keepalive_s, limits.idle_s),
            self._server(partial(self._handle, stranger=True), limits.request_s, limits.request_s),
            limits.request_s,
        )
        bounds = Bounds(limits.connections, limits.handshake_s, limits.idle_s, limits.strangers)
        self._listener = self._make_listener(self._ssl_context, reception, bounds, reception.member)
        try:
            self._port = await self._listener.listen(self._host, self._port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on port {self._port} of {self._host or 'this machine'}: "
                f"{error.strerror or error}",
                mend="Is another aggregator running here? Stop it, or choose another address or port.",
            ) from error

    async def close(self) -> None:
        """Stop listening, and end what is under way."""
        if self._listener is not None and self._reception is not None:
            self._listener.close()
            await self._reception.close(self._limits.closing_s)
        self._transfer_threads.close()

    def _server(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        keepalive_s: float,
        idle_s: float,
    ) -> web.Server:
        return web.Server(
            handle,
            access_log=None,
            logger=_parser_logger,
            auto_decompress=False,
            keepalive_timeout=keepalive_s,
            lingering_time=min(10.0, idle_s),
            read_bufsize=PIECE,
        )

    async def _handle(self, request: web.BaseRequest, *, stranger: bool = False) -> web.StreamResponse:
        try:
            if fault_points.observer is None or stranger:
                return await self._respond(request, stranger=stranger)
            return await self._respond_observed(request)
        except HanseError as error:
            return refuse(request, error)
        except ConnectionError:
            return web.Response(status=400)  # the peer is gone: this reaches nobody
        except Exception:  # the outermost edge: what nobody foresaw is logged, and not shown
            number = secrets.token_hex(4)
            logger.exception("internal error %s in %s %s", number, request.method, request.rel_url.raw_path)
            mend = "The aggregator's log says more under this number."
            return refuse(request, InternalError(f"internal error {number}", mend=mend))

    async def _respond_observed(self, request: web.BaseRequest) -> web.StreamResponse:
        """As `_respond`, with a point before and after what a party asks."""
        route, certificate = find(request.path)[0].get(request.method), certificate_of(request)
        if route is None or certificate is None:
            return await self._respond(request)
        party = self._service.admit(certificate).party.name
        facts = {"method": route.method, "path": route.path, "party": party}
        await reach_async(FaultPoint.BEFORE_REQUEST, **facts)
        response = await self._respond(request)
        await reach_async(FaultPoint.AFTER_REQUEST, **facts)
        return response

    async def _respond(self, request: web.BaseRequest, *, stranger: bool = False) -> web.StreamResponse:
        version = agree(request)
        routes, params = find(request.path)
        route = routes.get(request.method)
        match route:
            case Route():
                return await self._answer(request, route, params, version, stranger=stranger)
            case Bulk():
                who = admit(route, self._service, certificate_of(request))
                self._came(request)
                call = Call(self._service, who, params, Empty())
                limits = self._limits
                asked = Asked(request, call, self._transfer_threads, limits.idle_s, limits.worth_lending)
                return await HANDLERS[route](asked)
            case None:
                # As it came, with its escapes: a line break in it would be one in the log.
                path = request.rel_url.raw_path[:200]
                error = ProtocolError(f"{request.method[:20]} {path} is not a request of this API")
                allow = {"Allow": ", ".join(routes)} if routes else {}
                return refuse(request, error, status=405 if routes else 404, more=allow)

    async def _answer(
        self,
        request: web.BaseRequest,
        route: Route[Any, Any],
        params: dict[str, str],
        version: int | None,
        *,
        stranger: bool,
    ) -> web.Response:
        async def read() -> bytes:
            message = json.dumps(dict(request.query)).encode()
            if route.has_body:
                limits = self._limits
                waits = (limits.request_s, limits.request_s) if stranger else (limits.idle_s, None)
                message = await read_message(request.content, *waits)
            self._came(request)
            return message

        certificate = certificate_of(request)
        return reply(request, 200, await answer(route, self._service, certificate, params, read, version))

    def _came(self, request: web.BaseRequest) -> None:
        if self._reception is not None:
            self._reception.request_came(request.transport)


def _in_words(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        # Its own words quote what came, over several lines.
        record.msg = f"refused bytes that are not an HTTP request ({type(error).__name__}): {record.msg}"
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return _unreadable.shows()
    return True


_parser_logger.addFilter(_in_words)
