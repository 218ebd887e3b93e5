"""Every request of the API, once: what the server dispatches, the client sends and OpenAPI describes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import Field

from hanse.core.digests import DIGEST_PATTERN
from hanse.core.identity import Party, Role
from hanse.core.schema import Strict
from hanse.transport.base import Service
from hanse.wire.messages import (
    MAX_WAIT_S,
    AnswerRequest,
    BlobState,
    Certificates,
    Empty,
    EnrolRequest,
    EventsReply,
    Hello,
    InviteReply,
    InviteRequest,
    Members,
    NextRequest,
    ProgressRequest,
    RenewRequest,
    ResultReply,
    ResultRequest,
    Runs,
    RunStatus,
    SignRequest,
    StopRequest,
    SubmitRequest,
    Work,
)

Q = TypeVar("Q", bound=Strict)
A = TypeVar("A", bound=Strict)


class EventsQuery(Strict):
    """Which records of a run's journal are wanted; stands in the query string.

    Attributes:
        after: Sequence number of the last record that is known already.
        wait_s: Longest to wait for one where there is none.
    """

    after: int = Field(0, ge=0)
    wait_s: float = Field(0.0, ge=0, le=MAX_WAIT_S)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q]):
    """A request, read and admitted.

    Attributes:
        who: Who asks; None only where the route is open to anyone.
        params: What stands in the path, by name.
    """

    service: Service
    who: Party | None
    params: Mapping[str, str]
    message: Q

    @property
    def party(self) -> Party:
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


async def _hello(call: Call[Empty]) -> Hello:
    return call.service.hello()


async def _blob_state(call: Call[Empty]) -> BlobState:
    return call.service.blob_state(call.party, call.params["digest"])


_ANYONE: frozenset[Role] = frozenset()
_SITES = frozenset({Role.COLLABORATOR})
_OPERATORS = frozenset({Role.OPERATOR})
_PARTIES = _SITES | _OPERATORS

HELLO = Route("GET", "/v1/hello", "Who is answering here.", _ANYONE, Empty, Hello, _hello)
AUTHORITY = Bulk(
    "GET", "/v1/authority", "The federation's CA certificate.", _ANYONE, "application/x-pem-file"
)
OPENAPI = Bulk("GET", "/v1/openapi.json", "This description.", _PARTIES, "application/json")
ENROL = Route(
    "POST",
    "/v1/enrol",
    "Trade a one-time token for a certificate.",
    _ANYONE,
    EnrolRequest,
    Certificates,
    lambda call: call.service.enrol(call.message),
)
RENEW = Route(
    "POST",
    "/v1/renew",
    "Get the next certificate.",
    _PARTIES,
    RenewRequest,
    Certificates,
    lambda call: call.service.renew(call.party, call.message),
)
NEXT = Route(
    "POST",
    "/v1/next",
    "Wait until the site's work differs from what it knows.",
    _SITES,
    NextRequest,
    Work,
    lambda call: call.service.next(call.party, call.message),
    waits=True,
)
ANSWER = Route(
    "POST",
    "/v1/answers",
    "Give a site's signed answer to a plan; twice is no error.",
    _SITES,
    AnswerRequest,
    Empty,
    lambda call: call.service.answer(call.party, call.message),
)
RESULT = Route(
    "POST",
    "/v1/results",
    "Give the signed outcome of a task; durable once answered, twice is no error.",
    _SITES,
    ResultRequest,
    ResultReply,
    lambda call: call.service.result(call.party, call.message),
)
PROGRESS = Route(
    "POST",
    "/v1/progress",
    "Say that a task is under way.",
    _SITES,
    ProgressRequest,
    Empty,
    lambda call: call.service.progress(call.party, call.message),
)
BLOB = Bulk("GET", "/v1/blobs/{digest}", "A blob, or with Range a part of it.", _PARTIES)
BLOB_HEAD = Bulk("HEAD", "/v1/blobs/{digest}", "The size of a blob.", _PARTIES)
UPLOAD = Bulk(
    "PUT", "/v1/blobs/{digest}", "Upload the next part of a blob, which Content-Range names.", _PARTIES
)
UPLOAD_STATE = Route(
    "GET", "/v1/uploads/{digest}", "How much of an upload is here.", _PARTIES, Empty, BlobState, _blob_state
)
RUNS = Route(
    "GET",
    "/v1/runs",
    "All runs, newest first.",
    _OPERATORS,
    Empty,
    Runs,
    lambda call: call.service.runs(call.party),
)
SUBMIT = Route(
    "POST",
    "/v1/runs",
    "Begin a run of a plan that was uploaded.",
    _OPERATORS,
    SubmitRequest,
    RunStatus,
    lambda call: call.service.submit(call.party, call.message),
)
RUN = Route(
    "GET",
    "/v1/runs/{run_id}",
    "A run as it stands.",
    _OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.run(call.party, call.params["run_id"]),
)
EVENTS = Route(
    "GET",
    "/v1/runs/{run_id}/events",
    "Wait for records of a run's journal.",
    _OPERATORS,
    EventsQuery,
    EventsReply,
    lambda call: call.service.events(
        call.party, call.params["run_id"], call.message.after, call.message.wait_s
    ),
    waits=True,
)
STOP = Route(
    "POST",
    "/v1/runs/{run_id}/stop",
    "End a run.",
    _OPERATORS,
    StopRequest,
    RunStatus,
    lambda call: call.service.stop(call.party, call.params["run_id"], call.message),
)
RESUME = Route(
    "POST",
    "/v1/runs/{run_id}/resume",
    "Take a stopped or failed run up again.",
    _OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.resume(call.party, call.params["run_id"]),
)
TAKE_BACK = Route(
    "POST",
    "/v1/runs/{run_id}/sites/{name}/take-back",
    "Have a site asked again that was set aside.",
    _OPERATORS,
    Empty,
    RunStatus,
    lambda call: call.service.take_back(call.party, call.params["run_id"], call.params["name"]),
)
EXPORT = Bulk(
    "GET", "/v1/runs/{run_id}/export", "A run's journal with its seal.", _OPERATORS, "application/x-ndjson"
)
MEMBERS = Route(
    "GET",
    "/v1/members",
    "The parties ever enrolled.",
    _OPERATORS,
    Empty,
    Members,
    lambda call: call.service.members(call.party),
)
SIGN = Route(
    "POST",
    "/v1/members",
    "Enrol a party from a request that was carried by hand.",
    _OPERATORS,
    SignRequest,
    Certificates,
    lambda call: call.service.sign(call.party, call.message),
)
REMOVE = Route(
    "DELETE",
    "/v1/members/{name}",
    "Take a party off the allow list, at once.",
    _OPERATORS,
    Empty,
    Members,
    lambda call: call.service.remove(call.party, call.params["name"]),
)
INVITE = Route(
    "POST",
    "/v1/invitations",
    "Make a one-time token.",
    _OPERATORS,
    InviteRequest,
    InviteReply,
    lambda call: call.service.invite(call.party, call.message),
)

ROUTES: tuple[AnyRoute, ...] = (
    *(HELLO, AUTHORITY, OPENAPI, ENROL, RENEW),
    *(NEXT, ANSWER, RESULT, PROGRESS),
    *(BLOB, BLOB_HEAD, UPLOAD, UPLOAD_STATE),
    *(RUNS, SUBMIT, RUN, EVENTS, STOP, RESUME, TAKE_BACK, EXPORT),
    *(MEMBERS, SIGN, REMOVE, INVITE),
)

PATTERNS = {
    "digest": DIGEST_PATTERN,
    "run_id": "[a-z0-9][a-z0-9._-]{0,99}",
    "name": "[a-z0-9._-]{1,63}",
}
"""What a path's parameters look like."""


def expand(path: str, params: Mapping[str, str]) -> str:
    """Put parameters into a path."""
    return path.format_map({name: quote(value, safe="") for name, value in params.items()})


def find(path: str) -> tuple[Mapping[str, AnyRoute], dict[str, str]]:
    """Look up a path.

    Returns:
        Its routes by method, none where there is no such path, and its parameters.
    """
    for pattern, routes in _PATHS.items():
        if match := pattern.fullmatch(path):
            return routes, match.groupdict()
    return {}, {}


def _pattern(path: str) -> re.Pattern[str]:
    # Every second part is the name of a parameter.
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(
            f"(?P<{part}>{PATTERNS[part]})" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


_PATHS = {
    _pattern(path): {route.method: route for route in ROUTES if route.path == path}
    for path in dict.fromkeys(route.path for route in ROUTES)
}
