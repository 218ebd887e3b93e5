"""Messages between a worker and the process that started it: their form, and the worker's end.

A message is a JSON object in UTF-8 after its length, 4 bytes, most significant
first. The two ends run the same version on the same machine; what comes from a
worker is checked here only to be a message.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from hanse.errors import ProtocolError, TransportError

MAX_MESSAGE = 1 << 20
"""Most bytes a message may have; larger things travel as files."""

LENGTH_BYTES = 4

Message = dict[str, Any]


class Channel:
    """The worker's end: blocking. Any thread may send; one may receive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            ProtocolError: It is larger than `MAX_MESSAGE`; nothing was sent.
            TransportError: The other end has gone.
        """
        frame = memoryview(encode(message))
        with self._sending:
            try:
                while frame:
                    frame = frame[os.write(self._descriptor, frame) :]
            except (BrokenPipeError, ConnectionResetError) as error:
                raise gone() from error

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other end has gone, be it in the midst of one.

        Raises:
            ProtocolError: What came is no message.
        """
        prefix = self._read(LENGTH_BYTES)
        body = self._read(length(prefix)) if prefix else None
        return decode(body) if body is not None else None

    def close(self) -> None:
        """Let go of the connection."""
        os.close(self._descriptor)

    def _read(self, size: int) -> bytes | None:
        read = bytearray()
        while len(read) < size:
            try:
                part = os.read(self._descriptor, size - len(read))
            except ConnectionResetError:
                return None
            if not part:
                return None
            read += part
        return bytes(read)


def encode(message: Message) -> bytes:
    """Put a message into a frame.

    Raises:
        ProtocolError: It is larger than `MAX_MESSAGE`.
    """
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_MESSAGE:
        raise ProtocolError(f"a message to or from a worker has {len(body)} bytes, more than {MAX_MESSAGE}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length(prefix: bytes) -> int:
    """Read how many bytes follow.

    Raises:
        ProtocolError: They are more than `MAX_MESSAGE`.
    """
    size = int.from_bytes(prefix, "big")
    if size > MAX_MESSAGE:
        raise ProtocolError(f"a worker's message claims {size} bytes, more than {MAX_MESSAGE}")
    return size


def decode(body: bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolError: It is no JSON object, or holds half of a surrogate pair: nothing can write that down.
    """
    try:
        # JSON in UTF-8, and nothing that Python reads beside it.
        message = json.loads(body.decode("utf-8"))
        if b"\\u" in body:
            json.dumps(message, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ProtocolError("a worker's message holds text that is not Unicode") from None
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a worker's message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"a worker's message is a JSON {type(message).__name__}, not an object")
    return message


def gone() -> TransportError:
    """The error of sending to nobody."""
    return TransportError("the other end of the worker's channel has gone")
