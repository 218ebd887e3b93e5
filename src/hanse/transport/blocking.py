"""Bytes between blocking sockets and files, on a thread that has both to itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hanse.errors import StorageError, TransportError
from hanse.wire.files import file_errors

PIECE = 1 << 18
"""Bytes that are received or sent at a time: few enough to stay in a processor's own cache."""


class Source(Protocol):
    """A socket that is read from; blocking, with a limit to how long."""

    def recv_into(self, buffer: memoryview, nbytes: int) -> int:
        """Receive at most so many bytes into a buffer; 0 at the end."""
        ...

    def gettimeout(self) -> float | None:
        """Longest wait for the next bytes, seconds."""
        ...


def receive(source: Source, length: int, first: bytes, write: Callable[[memoryview], object]) -> None:
    """Write a body as it comes; what came before an error is written too.

    Args:
        source: Where it comes from.
        length: Bytes of the whole body.
        first: Its beginning, received before.
        write: Takes the next bytes, which are overwritten later.

    Raises:
        TransportError: Nothing came for as long as the socket waits.
        ConnectionResetError: The connection broke.
        HanseError: Whatever `write` raises.
    """
    if first:
        write(memoryview(first))
    left, filled = length - len(first), 0
    buffer = memoryview(bytearray(min(PIECE, left)))
    try:
        while left:
            if filled == len(buffer):
                write(buffer)
                filled = 0
            # With the count, an SSLSocket need not look for it: this runs for every 16 KiB, a TLS record.
            count = source.recv_into(buffer[filled:], min(len(buffer) - filled, left))
            if not count:
                raise ConnectionResetError("the connection broke in the middle of a body")
            filled, left = filled + count, left - count
    except TimeoutError:
        waited = f"{source.gettimeout():g} s in the middle of a body"
        raise TransportError(f"nothing came for {waited}") from None
    finally:
        if filled:
            write(buffer[:filled])


def send(source: Path | bytes, start: int, stop: int, take: Callable[[memoryview], bool]) -> bool:
    """Send a file, or bytes, from `start` up to `stop`.

    Args:
        source: What to send.
        start: Where to begin.
        stop: Where to end.
        take: Sends the next bytes, which are overwritten later; False to stop.

    Returns:
        Whether all of it was sent.

    Raises:
        StorageError: The file cannot be read, or ends before `stop`.
    """
    if isinstance(source, bytes):
        whole = memoryview(source)
        return all(take(whole[at : min(at + PIECE, stop)]) for at in range(start, stop, PIECE))
    with file_errors(f"read {source}"):
        file = source.open("rb", buffering=0)
    with file:
        file.seek(start)
        buffer = memoryview(bytearray(min(PIECE, stop - start)))
        while start < stop:
            with file_errors(f"read {source}"):
                count = file.readinto(buffer[: stop - start])
            if not count:
                raise StorageError(f"{source} became shorter while it was sent")
            start += count
            if not take(buffer[:count]):
                return False
    return True
