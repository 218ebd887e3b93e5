"""From a request to the service's answer, the same whatever carries the two."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from hanse.core.values.peer import Peer
from hanse.errors import CredentialError, PolicyError
from hanse.transport.api.route import A, AnyRoute, Call, Q, Route
from hanse.transport.service import Service
from hanse.wire.messages.basics import decode, written


def admit(route: AnyRoute, service: Service, certificate: bytes | None) -> Peer | None:
    """Decide who asks, and whether that peer may ask this.

    Args:
        route: What is asked.
        service: The aggregator, which knows its parties.
        certificate: What the peer proved to own, DER; None where it showed none.

    Returns:
        The peer; None on a route that is open to anyone.

    Raises:
        CredentialError: There is no certificate, or it is foreign, replaced, removed or expired.
        PolicyError: The role of the peer's party may not ask this.
    """
    if not route.roles:
        return None
    if certificate is None:
        raise CredentialError(
            f"{route.method} {route.path} asks for a certificate, and none was shown",
            mend="Join the federation with `hanse join TOKEN`.",
        )
    peer = service.admit(certificate)
    if peer.party.role not in route.roles:
        allowed, uri = " or ".join(sorted(route.roles)), peer.party.uri
        raise PolicyError(f"{route.method} {route.path} is for the role {allowed}, {uri} has another")
    return peer


async def answer(
    route: Route[Q, A],
    service: Service,
    certificate: bytes | None,
    params: Mapping[str, str],
    read: Callable[[], Awaitable[bytes]],
    version: int | None = None,
) -> bytes:
    """Admit, read, serve, and write the answer.

    Args:
        route: What is asked.
        service: Who answers.
        certificate: See `admit`.
        params: What stands in the path, by name.
        read: Gives the request's message; not called before the peer is admitted.
        version: See `written`.

    Raises:
        HanseError: The peer is not admitted, the message is malformed, or the service refuses.
    """
    who = admit(route, service, certificate)
    message = decode(route.request, await read())
    reply = await route.serve(Call(service, who, params, message))
    if route.waits:
        admit(route, service, certificate)  # it may have been removed meanwhile
    return written(reply, version)
