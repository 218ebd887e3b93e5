"""Connections without a certificate, many at a time and from many addresses, that ask for nothing."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType

from tests.processes import PATIENCE_S, until

ADDRESSES = 40
"""Addresses of this machine, from 127.0.0.2 on, that the connections come from in turn."""
_PAUSE_S = 0.004
_ENDING_S = 0.2
"""How long the event loop may take to let go of connections."""


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_hello() -> bytes:
    sent = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        _context().wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    return sent.read()


_HEADER = b"POST /v1/enrol HTTP/1.1\r\nHost: a\r\n"
_BODY = _HEADER + b"Hanse-Protocol: 2\r\nContent-Length: 1000\r\n\r\n{"

KINDS: tuple[tuple[bool, bytes], ...] = (
    (False, b""),
    (False, b"\x16"),
    (False, _client_hello()),
    (True, b""),
    (True, _HEADER),
    (True, _BODY),
)
"""Connections that cost a server something while it waits: whether TLS is spoken, and what is sent first.

Silent, the first byte of a handshake, a handshake without end, no request, half a header, half a body.
"""


class Flood:
    """Opens connections to a local port, one after another, until the block ends; the last stay open.

    Args:
        port: Where they go.
        kept: Most that are open at a time.

    Attributes:
        opened: How many there were.
    """

    def __init__(self, port: int, kept: int) -> None:
        self.opened = 0
        self._port = port
        self._most = kept
        self._kept: deque[asyncio.Transport] = deque()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="flood")

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()

    def reached(self, count: int) -> None:
        """Wait until so many connections were opened."""
        until(lambda: self.opened >= count, f"{count} connections", 2 * PATIENCE_S)

    async def _run(self) -> None:
        loop, context = asyncio.get_running_loop(), _context()
        for number, (tls, first) in enumerate(itertools.cycle(KINDS)):
            if self._ends.is_set():
                break
            with suppress(OSError, TimeoutError):  # turned away, or not taken in
                async with asyncio.timeout(1.0):
                    transport, _ = await loop.create_connection(
                        asyncio.Protocol,
                        "127.0.0.1",
                        self._port,
                        local_addr=(f"127.0.0.{2 + number % ADDRESSES}", 0),
                        ssl=context if tls else None,
                    )
                self._kept.append(transport)
                transport.write(first)
            self.opened += 1
            if len(self._kept) > self._most:
                self._kept.popleft().abort()
            await asyncio.sleep(_PAUSE_S)
        for transport in self._kept:
            transport.abort()
        await asyncio.sleep(_ENDING_S)
