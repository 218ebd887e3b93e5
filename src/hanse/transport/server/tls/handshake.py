"""TLS handshakes on the event loop, over the socket itself."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress

_ALERT_S = 5.0
"""Longest wait for a peer whose handshake failed to read the reason."""


async def shake_hands(
    plain: socket.socket,
    context: ssl.SSLContext,
    longest_s: float,
    spoke: Callable[[], object],
    refused: Callable[[ssl.SSLError], object],
) -> ssl.SSLSocket | None:
    """Take a peer's handshake.

    Args:
        plain: The connection; closed where the handshake fails, or taken over by what is returned.
        context: What to speak TLS with.
        longest_s: Longest that all of it may take, seconds.
        spoke: Called when the first byte has come.
        refused: Called when the handshake has failed, before the peer has read why.

    Returns:
        The connection, non-blocking; None where there is none: the handshake failed, or the peer is
        gone or took too long.
    """
    plain.setblocking(False)
    with suppress(OSError):
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    connection: ssl.SSLSocket | None = None
    try:
        async with asyncio.timeout(longest_s):
            await _first_byte(plain)  # TLS is made ready only for who speaks
            spoke()
            connection = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            await _handshake(connection)
    except ssl.SSLError as error:
        refused(error)
        with closing(connection or plain):
            if connection is not None:
                await _let_read(connection)  # TLS has sent the reason
    except OSError:
        (connection or plain).close()
    except BaseException:
        (connection or plain).close()
        raise
    else:
        return connection
    return None


async def _first_byte(plain: socket.socket) -> None:
    while True:
        try:
            if not plain.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError("the peer hung up")
        except BlockingIOError:
            await _ready(plain, write=False)
        else:
            return


async def _handshake(connection: ssl.SSLSocket) -> None:
    while True:
        try:
            connection.do_handshake()
            return
        except ssl.SSLWantReadError:
            await _ready(connection, write=False)
        except ssl.SSLWantWriteError:
            await _ready(connection, write=True)


async def _ready(connection: socket.socket, *, write: bool) -> None:
    loop, number = asyncio.get_running_loop(), connection.fileno()
    ready = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add(number, note)
    try:
        await ready
    finally:
        remove(number)


async def _let_read(connection: ssl.SSLSocket) -> None:
    """Let the peer read what was sent: a connection that is closed with bytes unread takes it back."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_WR)
        async with asyncio.timeout(_ALERT_S):
            while True:
                await _ready(connection, write=False)
                if not os.read(connection.fileno(), 1 << 16):
                    return
