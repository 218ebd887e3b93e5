"""Forms of a request: with a message as its reply, or with something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from hanse.core.values.identity import Role
from hanse.core.values.peer import Peer
from hanse.core.values.schema import Strict

if TYPE_CHECKING:  # a client has no use for the messages of all services: 7 MB of memory
    from hanse.transport.service import Service

Q = TypeVar("Q", bound=Strict)
A = TypeVar("A", bound=Strict)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q]):
    """A request, read and admitted.

    Attributes:
        who: Who asks; None only where the route is open to anyone.
        params: What stands in the path, by name.
    """

    service: Service
    who: Peer | None
    params: Mapping[str, str]
    message: Q

    @property
    def peer(self) -> Peer:
        """Who asks, on a route that is not open to anyone."""
        assert self.who is not None
        return self.who


@dataclass(frozen=True, slots=True)
class Route(Generic[Q, A]):
    """A request that is answered with a message.

    Attributes:
        path: With its parameters in braces.
        request: What is asked: in the query string of GET and DELETE, else in the body.
        roles: Who may ask; empty for anyone, with a certificate or without.
        serve: Which method of the service answers.
        waits: Whether the answer may be long in coming.
    """

    method: str
    path: str
    summary: str
    roles: frozenset[Role]
    request: type[Q]
    reply: type[A]
    serve: Callable[[Call[Q]], Awaitable[A]]
    waits: bool = False

    @property
    def has_body(self) -> bool:
        """Whether the request is a body."""
        return self.method not in ("GET", "DELETE")


@dataclass(frozen=True, slots=True)
class Bulk:
    """A request that moves something other than messages.

    Attributes:
        media: Media type of what is moved.
    """

    method: str
    path: str
    summary: str
    roles: frozenset[Role]
    media: str = "application/octet-stream"


AnyRoute = Route[Any, Any] | Bulk

ANYONE: frozenset[Role] = frozenset()
SITES = frozenset({Role.COLLABORATOR})
OPERATORS = frozenset({Role.OPERATOR})
PARTIES = SITES | OPERATORS


def expand(path: str, params: Mapping[str, str]) -> str:
    """Put parameters into a path."""
    return path.format_map({name: quote(value, safe="") for name, value in params.items()})
