"""Basics of the messages between parties: JSON, checked by one strict schema each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError

from hanse.core.values.canonical import canonical_json
from hanse.core.values.schema import Strict, problem_of
from hanse.errors import HanseError, ProtocolError, rebuild
from hanse.wire import protocol

MAX_MESSAGE = 1 << 20
"""Longest message in bytes; tensors are blobs and no messages."""
MAX_WAIT_S = 60.0
"""Longest that a long poll may wait."""

Time = Annotated[int, Field(ge=0, le=2**53)]
"""Milliseconds since 1970 (UTC)."""

RunId = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")


class Hello(Strict):
    """Who is answering here; the one message that needs no certificate, with `Enrol`.

    Attributes:
        protocol: Newest version of the protocol that is spoken here.
    """

    service: Literal["hanse"] = "hanse"
    protocol: int = Field(default_factory=lambda: protocol.SPOKEN.newest)
    version: str
    federation: str
    time_ms: Time


class Empty(Strict):
    """Nothing to say."""


class ErrorReply(Strict):
    """Why a request was refused; `error` is the code of a `HanseError`."""

    error: str = Field(max_length=64)
    message: str = Field(max_length=8_192)
    mend: str = Field("", max_length=4_096)


class BlobState(Strict):
    """How much of an upload is here."""

    complete: bool
    offset: int = Field(ge=0)


M = TypeVar("M", bound=Strict)


def encode(message: Strict) -> bytes:
    """Write a message as JSON."""
    return message.model_dump_json().encode()


def decode(kind: type[M], data: bytes) -> M:
    """Read a message that somebody else sent.

    Raises:
        ProtocolError: It is too long, no JSON, or not such a message; says where.
    """
    if len(data) > MAX_MESSAGE:
        raise ProtocolError(f"a {kind.__name__} of {len(data)} bytes is too long; the limit is {MAX_MESSAGE}")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _malformed(kind, error) from None


def decode_value(kind: type[M], value: dict[str, Any]) -> M:
    """Read a message that stands as JSON inside another.

    Raises:
        ProtocolError: It is not such a message; says where.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _malformed(kind, error) from None


def written(message: Strict, version: int | None = None) -> bytes:
    """Write a message to send.

    Args:
        message: What to send.
        version: Of the protocol, where the other end speaks an older one than this.

    Raises:
        ProtocolError: It is longer than the other end would read.
    """
    data = encode(message) if version is None else canonical_json(protocol.written_in(message, version))
    if len(data) > MAX_MESSAGE:
        kind = type(message).__name__
        raise ProtocolError(f"a {kind} of {len(data)} bytes is too long to send; the limit is {MAX_MESSAGE}")
    return data


def report(error: HanseError) -> bytes:
    """Write an error for the other end."""
    return encode(ErrorReply(error=error.code, message=error.message[:8_192], mend=error.mend[:4_096]))


def reported(data: bytes) -> HanseError:
    """Make again the error that the other end wrote.

    Raises:
        ProtocolError: The data is no such report.
    """
    reply = decode(ErrorReply, data)
    return rebuild(reply.error, reply.message, reply.mend)


def _malformed(kind: type[Strict], error: ValidationError) -> ProtocolError:
    return ProtocolError(f"malformed {kind.__name__}: {problem_of(error)}")
