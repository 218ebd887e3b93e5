"""Requests to an aggregator over HTTPS, one try each; every failure in words."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from hanse.core.schema import Strict
from hanse.errors import ConfigError, TransportError, UpdateError
from hanse.storage.base import BlobStore
from hanse.transport.dispatch import reported, written
from hanse.transport.failures import explain, not_hanse
from hanse.transport.routes import BLOB, UPLOAD, UPLOAD_STATE, A, AnyRoute, Bulk, Q, Route, expand
from hanse.transport.streams import PIECE, in_thread, opened, pieces, pour, read_message, size_of
from hanse.transport.takeover import WORTH_IT, take_over
from hanse.wire import protocol
from hanse.wire.files import file_errors
from hanse.wire.messages import BlobState, Empty, decode
from hanse.wire.protocol import PROTOCOL_HEADER, Versions, disagreement, read_headers

FROM_ENVIRONMENT = "env"
"""As a proxy: what HTTPS_PROXY and NO_PROXY say."""

_POOL_KEEPALIVE_S = 30.0  # shorter than the server's, see `Limits.keepalive_s`
_HEADERS = {"User-Agent": "hanse", "Accept-Encoding": "identity"}
_JSON = {"Content-Type": "application/json"}
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18})")
_UPGRADE = 426
"""What an aggregator answers that does not speak the version that it is asked in."""
_BUSY = frozenset({429, 502, 503, 504})
"""What a proxy in front of an aggregator answers while that is away."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an aggregator.

    Attributes:
        connect_s: For a connection: name, proxy, TCP and TLS together.
        idle_s: For the next bytes, and for a whole message on top of what a long poll waits.
    """

    connect_s: float = 10.0
    idle_s: float = 60.0


class HttpsConnection:
    """A pool of connections to one aggregator.

    Args:
        url: `https://HOST[:PORT]`.
        ssl_context: From `hanse.pki.tls`.
        proxy: `http://[USER:PASSWORD@]HOST:PORT`, `"env"` for what the environment says, None for none.
        patience: How long to wait.
        spoken: Versions of the protocol to speak; those of this Hanse unless they are given.

    Raises:
        ConfigError: An address is malformed.
    """

    def __init__(
        self,
        url: str,
        ssl_context: ssl.SSLContext,
        *,
        proxy: str | None = FROM_ENVIRONMENT,
        patience: Patience = Patience(),
        spoken: Versions | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._proxy = _proxy_to(_address(self.url, "https", "the aggregator's address"), proxy)
        self._ssl_context = ssl_context
        self._patience = patience
        self._spoken = spoken or protocol.SPOKEN
        self._version = self._spoken.newest
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def switch(self, ssl_context: ssl.SSLContext) -> None:
        """Show another certificate from the next request on; those under way end as they began."""
        self._ssl_context = ssl_context  # the pool keeps connections of different contexts apart

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, route: Route[Q, A], message: Q, *, wait_s: float = 0.0, **params: str) -> A:
        """Ask, and read the answer.

        Args:
            route: What is asked.
            message: The request.
            wait_s: How long the aggregator was asked to wait.
            params: What stands in the path.
        """
        connect_s, idle_s = self._patience.connect_s, self._patience.idle_s
        timeout = aiohttp.ClientTimeout(total=connect_s + wait_s + idle_s, connect=connect_s)
        if route.has_body:
            ask = self._ask(route, params, message=message, timeout=timeout, headers=_JSON)
        else:
            ask = self._ask(route, params, timeout=timeout, params=message.model_dump(mode="json"))
        async with ask as response:
            data = await read_message(response.content, idle_s)
        return decode(route.reply, data)

    async def read(self, route: Bulk) -> bytes:
        """Read something that is no longer than a message."""
        async with self._ask(route, {}) as response:
            return await read_message(response.content, self._patience.idle_s)

    async def save(self, route: Bulk, path: Path, **params: str) -> None:
        """Write what comes to a file, which appears whole or not at all.

        Raises:
            StorageError: The file cannot be written.
        """
        part = path.with_name(f"{path.name}.part")
        with file_errors(f"write {part}"):
            file = part.open("wb")

        def write(data: bytearray) -> None:
            with file_errors(f"write {part}"):
                file.write(data)

        with file:
            async with self._ask(route, params) as response:
                await pour(response.content, write, self._patience.idle_s)
        with file_errors(f"write {path}"):
            part.replace(path)

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        """See `Upstream.fetch`."""
        if blobs.has(digest):
            return blobs.path(digest)
        try:
            return await self._fetch_rest(digest, blobs, owner, max_bytes)
        except UpdateError:
            # What an earlier try left was not what it should be, and is dropped: from the first byte, once.
            return await self._fetch_rest(digest, blobs, owner, max_bytes)

    async def deliver(self, digest: str, source: Path | bytes) -> None:
        """See `Upstream.deliver`."""
        try:
            await self._deliver_rest(digest, source)
        except UpdateError:
            # As with `fetch`: what an earlier try left there was not what it should be.
            await self._deliver_rest(digest, source)

    async def _deliver_rest(self, digest: str, source: Path | bytes) -> None:
        size, start = size_of(source), 0
        if size >= WORTH_IT:  # what is smaller is sent as a whole: to ask takes as long
            state = await self.call(UPLOAD_STATE, Empty(), sha256=digest)
            if state.complete:
                return
            start = min(state.offset, size)
        part = f"{start}-{size - 1}" if start < size else "*"
        headers = {"Content-Range": f"bytes {part}/{size}", "Content-Length": str(size - start)}
        idle_s = self._patience.idle_s

        async def body() -> AsyncIterator[bytes]:
            async with aclosing(pieces(source, start, size)) as file:
                async for piece in file:
                    watch.reschedule(asyncio.get_running_loop().time() + idle_s)
                    yield piece
            watch.reschedule(None)  # from here on aiohttp watches how long the answer takes

        try:
            async with asyncio.timeout(None) as watch:
                ask = self._ask(
                    UPLOAD, {"sha256": digest}, data=_Replayable(body), headers=headers, accept=(200, 201)
                )
                async with ask as response:
                    state = decode(BlobState, await read_message(response.content, idle_s))
        except TimeoutError:
            raise TransportError(
                f"{self.url} took nothing for {idle_s:g} s in the middle of a blob"
            ) from None
        if not state.complete:
            raise TransportError(f"{self.url} has only {state.offset} of {size} bytes of blob {digest}")

    async def _fetch_rest(self, digest: str, blobs: BlobStore, owner: str, max_bytes: int) -> Path:
        # A range that begins where the blob ends is answered with 416 and its size: nothing is left to fetch.
        headers = {"Range": f"bytes={blobs.partial_size(digest, owner)}-"}
        ask = self._ask(BLOB, {"sha256": digest}, headers=headers, accept=(206, 416))
        async with ask as response:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None:
                raise not_hanse(self.url, "part of a blob without its size")
            size = int(match[2])
            if size > max_bytes:
                raise not_hanse(self.url, f"blob {digest} has {size} bytes, and at most {max_bytes} are due")
            writer = await opened(partial(blobs.write, digest, owner, size))
            try:
                if response.status == 206 and int(match[1] or 0) != writer.offset:
                    raise TransportError(f"blob {digest} was written to by another download")
                if response.status == 206:
                    await self._receive(response, writer.write)
                return await in_thread(writer.commit)
            finally:
                writer.close()

    async def _receive(
        self, response: aiohttp.ClientResponse, write: Callable[[bytearray | memoryview], object]
    ) -> None:
        """Write the body of a reply."""
        length, connection = response.content_length, response.connection
        if length is None or length < WORTH_IT or connection is None or connection.transport is None:
            await pour(response.content, write, self._patience.idle_s)
            return
        try:
            await take_over(connection.transport, response.content, length, write, self._patience.idle_s)
        finally:
            response.close()

    @asynccontextmanager
    async def _ask(
        self,
        route: AnyRoute,
        in_path: Mapping[str, str],
        *,
        accept: Collection[int] = (200,),
        message: Strict | None = None,
        **options: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, with aiohttp's own options, and give its reply if that is one of Hanse's.

        An aggregator that does not speak the version asked in, and an older one that is spoken here too,
        is asked again in that.
        """
        url = URL(self.url + expand(route.path, in_path), encoded=True)
        options |= {"ssl": self._ssl_context, "proxy": self._proxy, "allow_redirects": False}
        own_headers = options.pop("headers", {})
        try:
            for again in (True, False):
                version = self._version
                options["headers"] = own_headers | protocol.headers(version, self._spoken)
                if message is not None:
                    options["data"] = written(message, None if version == self._spoken.newest else version)
                async with self._pool().request(route.method, url, **options) as response:
                    if self._settle(response, version) or not again:
                        await self._check(response, accept)
                        yield response
                        return
        except (aiohttp.ClientError, OSError) as error:
            proxy = str(self._proxy.with_user(None)) if self._proxy else None
            raise explain(error, self.url, proxy) from error

    def _settle(self, response: aiohttp.ClientResponse, asked_in: int) -> bool:
        """Learn what the aggregator speaks; False where it has to be asked again, in another version."""
        if PROTOCOL_HEADER not in response.headers:
            if response.status in _BUSY:
                raise TransportError(
                    f"something in front of {self.url} answered {response.status}",
                    mend="Is the aggregator running?",
                )
            raise not_hanse(self.url, f"status {response.status} without {PROTOCOL_HEADER}")
        stated = read_headers(response.headers)
        if stated is None:
            raise not_hanse(self.url, f"{PROTOCOL_HEADER} {response.headers[PROTOCOL_HEADER][:20]!r}")
        _, theirs = stated
        common = self._spoken.common(theirs)
        if common is None:
            raise disagreement(self._spoken, theirs, "this end", self.url)
        self._version = common  # for what is asked from now on, too
        return response.status != _UPGRADE or common == asked_in

    async def _check(self, response: aiohttp.ClientResponse, accept: Collection[int]) -> None:
        if response.status in accept:
            return
        if response.status < 400:
            raise not_hanse(self.url, f"status {response.status}")
        raise reported(await read_message(response.content, self._patience.idle_s))

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, because it wants a running event loop
            connect_s, idle_s = self._patience.connect_s, self._patience.idle_s
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_POOL_KEEPALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=idle_s),
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=PIECE,
            )
        return self._session


@dataclass(frozen=True, slots=True)
class _Replayable(AsyncIterable[bytes]):
    """A body that begins anew each time.

    aiohttp sends some requests a second time, and a generator would give it only its rest.
    """

    body: Callable[[], AsyncIterator[bytes]]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.body()


def _address(text: str, scheme: str, name: str) -> URL:
    try:
        address = URL(text)
        good = address.scheme == scheme and address.host and not address.query_string
    except ValueError:
        good = False
    if not good:
        # Not quoted: it may hold a password.
        raise ConfigError(f"{name} is malformed", mend=f"Write it as {scheme}://HOST:PORT.")
    return address


def _proxy_to(address: URL, proxy: str | None) -> URL | None:
    if proxy == FROM_ENVIRONMENT:
        exempt = proxy_bypass(f"{address.host}:{address.port}")
        proxy = None if exempt else getproxies().get("https")
    if not proxy:
        return None
    return _address(proxy if "://" in proxy else f"http://{proxy}", "http", "the address of the proxy")
