"""One connection to an aggregator for one thread at a time: HTTP/1.1 on a blocking TLS socket.

For long bodies: an event loop has them copied through its own buffers, and takes a
turn a piece. A thread that reads right from the socket into the buffer that it then
hashes and writes keeps them in the processor's cache.
"""

from __future__ import annotations

import asyncio
import base64
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http.client import HTTPException, HTTPResponse

from aiohappyeyeballs import start_connection
from yarl import URL

from hanse.errors import ProtocolError, TransportError
from hanse.transport.body_io import CACHED_PIECE, receive
from hanse.transport.client.address import Address, Patience
from hanse.transport.client.errors import explain, proxy_refused, unknown_host, unreachable
from hanse.wire.messages.basics import MAX_MESSAGE

_FIRST_ADDRESS_S = 0.25
"""Before the next of a host's addresses is tried beside it (RFC 8305, section 8)."""


async def connected(address: Address, patience: Patience) -> BlockingConnection:
    """Connect to an aggregator, or to the proxy on the way to it; TLS begins with `BlockingConnection.start`.

    Raises:
        TransportError: It cannot be reached, or not in time.
    """
    goal = address.proxy or address.of("")
    loop = asyncio.get_running_loop()
    deadline_s = time.monotonic() + patience.connect_s
    try:
        async with asyncio.timeout(patience.connect_s):
            try:
                found = await loop.getaddrinfo(goal.host, goal.port, type=socket.SOCK_STREAM)
            except socket.gaierror as error:
                if address.proxy is None:
                    raise unknown_host(address.url) from error
                raise
            plain = await start_connection(found, happy_eyeballs_delay=_FIRST_ADDRESS_S, interleave=1)
    except TimeoutError as error:
        raise explain(error, address.url, address.shown_proxy) from error
    except OSError as error:
        raise _away(address, error.strerror or str(error)) from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    return BlockingConnection(plain, address, patience, deadline_s)


class BlockingConnection:
    """A connection, from the first request to the last.

    Everything but `abort` belongs to the thread that has it.
    """

    def __init__(self, plain: socket.socket, address: Address, patience: Patience, deadline_s: float) -> None:
        self._socket = plain
        self._address = address
        self._patience = patience
        self._deadline_s = deadline_s
        self._aborted = False
        self._unsent = False
        self._reply: HTTPResponse | None = None
        self.context: ssl.SSLContext | None = None
        self.rested_s = 0.0

    def start(self, context: ssl.SSLContext) -> None:
        """Begin TLS, through the proxy if there is one.

        Raises:
            OSError, HTTPException: The connection broke, or is none of the kind.
            ConfigError, TransportError: The proxy does not let it through.
        """
        url = self._address.of("")
        self._socket.settimeout(max(self._deadline_s - time.monotonic(), 0.01))
        if self._address.proxy is not None:
            self._connect_through_proxy(self._address.proxy, f"{url.host_subcomponent}:{url.port}")
        # The handshake comes after the assignment, so that `abort` reaches it.
        self._socket = context.wrap_socket(
            self._socket, server_hostname=url.host, do_handshake_on_connect=False
        )
        self._raise_if_aborted()
        self._socket.do_handshake()
        self._socket.settimeout(self._patience.idle_s)
        self.context = context

    def ask(self, method: str, url: URL, headers: Mapping[str, str]) -> None:
        """Send the head of a request."""
        self._raise_if_aborted()
        self._unsent = True
        host = {"Host": url.host_port_subcomponent or ""}
        self._socket.sendall(_head(method, url.raw_path_qs, host | dict(headers)))

    def send(self, piece: memoryview) -> bool:
        """Send a piece of the body; False, and nothing is sent, where the answer is there already.

        Raises:
            TransportError: Nothing was taken for `idle_s` seconds.
        """
        if self._readable():
            return False
        try:
            self._socket.sendall(piece)
        except TimeoutError:
            waited = f"{self._patience.idle_s:g} s in the middle of a blob"
            raise TransportError(f"{self._address.url} took nothing for {waited}") from None
        except (BrokenPipeError, ConnectionResetError):
            return False  # it may have said why before it hung up
        return True

    def sent(self) -> None:
        """Note that the request is whole: the connection can serve for another after the reply."""
        self._unsent = False

    def reply(self, method: str) -> HTTPResponse:
        """Wait for the head of the reply."""
        self._reply = HTTPResponse(self._socket, method=method)
        self._reply.begin()
        return self._reply

    def message(self) -> bytes:
        """The body of the reply, which has to be a message.

        Raises:
            ProtocolError: It is longer than `MAX_MESSAGE`.
        """
        reply = self._replied()
        body = reply.read(MAX_MESSAGE + 1)
        if len(body) > MAX_MESSAGE:
            raise ProtocolError(f"the message is too long; the limit is {MAX_MESSAGE} bytes")
        if reply.length:
            raise ConnectionResetError("the connection broke in the middle of a message")
        return body

    def receive(self, length: int, write: Callable[[memoryview], object]) -> None:
        """Write the body of the reply; what came before an error is written too.

        Args:
            length: Bytes of it.
            write: Takes the next bytes, which are overwritten later.

        Raises:
            TransportError: Nothing came for `idle_s` seconds.
            HanseError: Whatever `write` raises.
        """
        reply = self._replied()
        # What was read together with the head; the rest is still in the socket.
        first = reply.read1(CACHED_PIECE) if length else b""
        receive(self._socket, length, first, write)
        reply.length = 0

    def rest(self) -> bool:
        """Whether the connection can be used again; notes since when it waits for that."""
        reply, self.rested_s = self._reply, time.monotonic()
        whole = reply is not None and reply.length == 0 and not reply.will_close
        self._let_go()
        return whole and not (self._unsent or self._aborted)

    def usable(self, context: ssl.SSLContext, most_s: float) -> bool:
        """Whether a connection that waits can be used now: the peer has not hung up, nor may do so soon."""
        return self.context is context and time.monotonic() - self.rested_s < most_s and not self._readable()

    def abort(self) -> None:
        """Have every wait of its thread end at once, with an error; to be called from any thread."""
        self._aborted = True
        with suppress(OSError):
            # Not SSLSocket's own: it drops the encryption before it closes anything.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up; politely where nothing is under way."""
        if isinstance(self._socket, ssl.SSLSocket) and self._reply is None and not self._aborted:
            with suppress(OSError, ValueError):
                self._socket.settimeout(0)
                self._socket.unwrap()  # tells the peer, and does not wait for its answer
        self._let_go()
        self._socket.close()

    def _let_go(self) -> None:
        if self._reply is not None:
            self._reply.close()  # or the socket would stay open with it
            self._reply = None

    def _replied(self) -> HTTPResponse:
        assert self._reply is not None
        return self._reply

    def _raise_if_aborted(self) -> None:
        if self._aborted:
            raise ConnectionAbortedError("no thread waits for this connection any more")

    def _readable(self) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        watch = select.poll()
        watch.register(self._socket, select.POLLIN)
        return bool(watch.poll(0))

    def _connect_through_proxy(self, proxy: URL, goal: str) -> None:
        """Have the proxy connect this to the aggregator (RFC 9110, section 9.3.6)."""
        headers = {"Host": goal}
        if proxy.user:
            password = f"{proxy.user}:{proxy.password or ''}".encode()
            headers["Proxy-Authorization"] = f"Basic {base64.b64encode(password).decode()}"
        self._socket.sendall(_head("CONNECT", goal, headers))
        with closing(HTTPResponse(self._socket, method="CONNECT")) as reply:
            try:
                reply.begin()
            except HTTPException as error:
                raise _away(self._address, "what came is not HTTP") from error
        if reply.status != 200:
            raise proxy_refused(reply.status, self._address.url, self._address.shown_proxy)


def _away(address: Address, reason: str) -> TransportError:
    return unreachable(address.url, address.shown_proxy, reason)


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = (f"{name}: {value}" for name, value in headers.items())
    return "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", "")).encode("ascii")
