"""Replies of the HTTPS server: a message, or a refusal in words and in the log."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping

from aiohttp import web

from hanse.core.values.identity import Party, Role
from hanse.errors import (
    ConfigError,
    CredentialError,
    HanseError,
    InternalError,
    PolicyError,
    ProtocolError,
    RunError,
    StorageError,
    TransportError,
    TrustError,
    UpdateError,
    VersionError,
)
from hanse.pki.certificates import party_of, read_der
from hanse.transport.server.seldom import SeldomLog
from hanse.wire import protocol
from hanse.wire.messages.basics import report
from hanse.wire.protocol import disagreement, read_headers

logger = logging.getLogger(__name__)

_of_strangers = SeldomLog(logger)

_STATUS: dict[type[HanseError], int] = {
    VersionError: 426,
    ProtocolError: 400,
    TrustError: 403,
    PolicyError: 403,
    RunError: 409,
    ConfigError: 422,
    UpdateError: 422,
    StorageError: 507,
    InternalError: 500,
    TransportError: 503,
    HanseError: 500,
}


def agree(request: web.BaseRequest) -> int | None:
    """Settle the version of the protocol in which a request is answered: the one that it is written in.

    Returns:
        It, where it is older than the newest spoken here.

    Raises:
        VersionError: It is not spoken here, or none is stated. The refusal states what is spoken, so that
            a sender that speaks an older one too can ask again in that.
    """
    spoken, stated = protocol.SPOKEN, read_headers(request.headers)
    if stated is None:
        raise VersionError(
            f"this aggregator speaks protocol {spoken}, and the request states no version",
            mend="Ask with Hanse, or as its HTTP API describes.",
        )
    version, theirs = stated
    if version not in spoken:
        raise disagreement(spoken, theirs, "this aggregator", _named(request))
    return version if version < spoken.newest else None


def headers(request: web.BaseRequest) -> dict[str, str]:
    """What every reply to a request carries."""
    spoken, stated = protocol.SPOKEN, read_headers(request.headers)
    version = stated[0] if stated and stated[0] in spoken else spoken.newest
    return protocol.headers(version, spoken)


def reply(
    request: web.BaseRequest, status: int, body: bytes, media: str = "application/json"
) -> web.Response:
    """A whole reply."""
    return web.Response(status=status, body=body, content_type=media, headers=headers(request))


def refuse(
    request: web.BaseRequest,
    error: HanseError,
    *,
    status: int | None = None,
    more: Mapping[str, str] | None = None,
) -> web.Response:
    """Say why a request is refused, to whoever asked and to the log.

    Args:
        request: What was asked; of it the log gets no body and no query, which may be secret.
        error: Why it is refused.
        status: HTTP status; that of the kind of error where there is no better one.
        more: Headers to add.
    """
    status = status or next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    facts = {
        "method": request.method[:20],
        "path": request.rel_url.raw_path[:200],
        "peer": request.remote,
        "party": _claimed_by(request),
        "status": status,
        "error": error.code,
    }
    log = _of_strangers if _claimed(request) is None else logger
    log.warning(
        "refused %s: %s", " ".join(f"{name}={fact}" for name, fact in facts.items()), error, extra=facts
    )
    response = reply(request, status, report(error))
    response.headers.update(more or {})
    return response


def certificate_of(request: web.BaseRequest) -> bytes | None:
    """The certificate, DER, whose key the peer proved to have in this connection's handshake."""
    if request.transport is None:
        raise ConnectionResetError("the peer hung up")
    return certificate_over(request.transport)


def certificate_over(transport: asyncio.BaseTransport) -> bytes | None:
    """As `certificate_of`, of a connection."""
    certificate: bytes | None = transport.get_extra_info("certificate", b"")
    if certificate == b"":  # not a connection of ours, which knows
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True)
    return certificate


def _named(request: web.BaseRequest) -> str:
    party = _claimed(request)
    if party is None:
        return "the party that asks"
    return f"{'site' if party.role is Role.COLLABORATOR else party.role} {party.name}"


def _claimed_by(request: web.BaseRequest) -> str:
    party = _claimed(request)
    return "an unknown party" if party is None else party.uri


def _claimed(request: web.BaseRequest) -> Party | None:
    try:
        certificate = certificate_of(request)
        return party_of(read_der(certificate)) if certificate else None
    except (CredentialError, ConnectionError):
        return None
