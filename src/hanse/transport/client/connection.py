"""Requests to an aggregator over HTTPS, one try each; every failure in words."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

from hanse.core.values.schema import Strict
from hanse.files.atomic import writing
from hanse.files.errors import file_errors
from hanse.storage.base import BlobStore
from hanse.transport.api.route import A, AnyRoute, Bulk, Q, Route, expand
from hanse.transport.body_io import PIECE, pour, read_message
from hanse.transport.client.address import FROM_ENVIRONMENT, HEADERS, REST_S, Address, Patience
from hanse.transport.client.blobs import BlobTransfers
from hanse.transport.client.errors import explain
from hanse.transport.client.version_negotiation import NegotiatedVersion
from hanse.wire import protocol
from hanse.wire.messages.basics import decode, reported, written
from hanse.wire.protocol import Versions

_JSON = {"Content-Type": "application/json"}


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
        patience: Patience = Patience(),  # noqa: B008 - frozen
        spoken: Versions | None = None,
    ) -> None:
        self._address = Address.read(url, proxy)
        self._ssl_context = ssl_context
        self._patience = patience
        self._negotiated = NegotiatedVersion(self.url, spoken or protocol.SPOKEN)
        self._blobs = BlobTransfers(self._address, ssl_context, patience, self._negotiated)
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The aggregator's address."""
        return self._address.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def switch(self, ssl_context: ssl.SSLContext) -> None:
        """Show another certificate from the next request on; those under way end as they began."""
        self._ssl_context = ssl_context  # the pool keeps connections of different contexts apart
        self._blobs.switch(ssl_context)

    async def close(self) -> None:
        """Let go of the connections."""
        self._blobs.close()
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
            ask = self._ask(route, params, timeout=timeout, params=_query(message))
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

        def write(data: bytearray) -> None:
            with file_errors(f"write {path}"):  # here too: `_ask` takes an OSError for one of the network
                file.write(data)

        with file_errors(f"write {path}"), writing(path) as file:
            async with self._ask(route, params) as response:
                await pour(response.content, write, self._patience.idle_s)

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        """See `Upstream.fetch`."""
        return await self._blobs.fetch(digest, blobs, owner=owner, max_bytes=max_bytes)

    async def deliver(self, digest: str, source: Path | bytes) -> None:
        """See `Upstream.deliver`."""
        await self._blobs.deliver(digest, source)

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
        negotiated, url = self._negotiated, self._address.of(expand(route.path, in_path))
        options |= {"ssl": self._ssl_context, "proxy": self._address.proxy, "allow_redirects": False}
        own_headers = options.pop("headers", {})
        try:
            for again in (True, False):
                version = negotiated.version
                options["headers"] = own_headers | negotiated.headers()
                if message is not None:
                    options["data"] = written(message, negotiated.older)
                async with self._pool().request(route.method, url, **options) as response:
                    if negotiated.learn_from_reply(response.status, response.headers, version) or not again:
                        if not negotiated.accepts(response.status, accept):
                            raise reported(await read_message(response.content, self._patience.idle_s))
                        yield response
                        return
        except (aiohttp.ClientError, OSError) as error:
            raise explain(error, self.url, self._address.shown_proxy) from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:  # made here, because it wants a running event loop
            connect_s, idle_s = self._patience.connect_s, self._patience.idle_s
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=REST_S),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=idle_s),
                headers=HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=PIECE,
            )
        return self._session


def _query(message: Strict) -> dict[str, str]:
    """A message as the query of an address."""
    written = message.model_dump(mode="json")
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in written.items()
    }
