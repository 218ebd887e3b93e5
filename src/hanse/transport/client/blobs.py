"""Blobs between files and an aggregator over HTTPS: each on a thread with a connection to itself."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar

from multidict import CIMultiDict

from hanse.concurrency import in_thread
from hanse.errors import TransportError, UpdateError
from hanse.storage.base import BlobStore
from hanse.transport.api.common_routes import BLOB, UPLOAD, UPLOAD_STATE
from hanse.transport.api.route import AnyRoute, expand
from hanse.transport.body_io import send, size_of
from hanse.transport.client.address import HEADERS, REST_S, Address, Patience
from hanse.transport.client.blocking_connection import BlockingConnection, connected
from hanse.transport.client.errors import explain, not_hanse
from hanse.transport.client.version_negotiation import NegotiatedVersion
from hanse.wire.messages.basics import BlobState, decode, reported

WORTH_ASKING = 4 << 20
"""Bytes of a blob from which on it takes less to ask how much of it is there than to send it for nothing."""

_MOST_AT_REST = 2
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18})")

_threads = ThreadPoolExecutor(16, thread_name_prefix="blobs")

T = TypeVar("T")


class BlobTransfers:
    """Moves blobs from and to one aggregator.

    Args:
        address: Of the aggregator.
        ssl_context: From `hanse.pki.tls`.
        patience: How long to wait.
        negotiated: The version that is spoken to the aggregator.
    """

    def __init__(
        self, address: Address, ssl_context: ssl.SSLContext, patience: Patience, negotiated: NegotiatedVersion
    ) -> None:
        self._address = address
        self._ssl_context = ssl_context
        self._patience = patience
        self._negotiated = negotiated
        self._at_rest: list[BlockingConnection] = []

    def switch(self, ssl_context: ssl.SSLContext) -> None:
        """Show another certificate from the next request on."""
        self._ssl_context = ssl_context

    def close(self) -> None:
        """Let go of the connections."""
        while self._at_rest:
            self._at_rest.pop().close()

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

    async def _fetch_rest(self, digest: str, blobs: BlobStore, owner: str, max_bytes: int) -> Path:
        def save(connection: BlockingConnection, reply: HTTPResponse) -> Path:
            match = _CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
            if match is None:
                raise not_hanse(self._address.url, "part of a blob without its size")
            start, size = int(match[1] or 0), int(match[2])
            if size > max_bytes:
                what = f"blob {digest} has {size} bytes, and at most {max_bytes} are due"
                raise not_hanse(self._address.url, what)
            with closing(blobs.write(digest, owner, size)) as writer:
                if reply.status == 206:
                    if start != writer.offset:
                        raise TransportError(f"blob {digest} was written to by another download")
                    if reply.length is None:
                        raise not_hanse(self._address.url, "a blob without its length")
                    connection.receive(reply.length, writer.write)
                return writer.commit()

        # A range that begins where the blob ends is answered with 416 and its size: nothing is left to fetch.
        headers = {"Range": f"bytes={blobs.partial_size(digest, owner)}-"}
        return await self._ask(BLOB, digest, headers, save, accept=(206, 416))

    async def _deliver_rest(self, digest: str, source: Path | bytes) -> None:
        size, start = size_of(source), 0
        if size >= WORTH_ASKING:
            state = await self._ask(UPLOAD_STATE, digest, {}, _state)
            if state.complete:
                return
            start = min(state.offset, size)
        part = f"{start}-{size - 1}" if start < size else "*"
        headers = {"Content-Range": f"bytes {part}/{size}", "Content-Length": str(size - start)}

        def body(connection: BlockingConnection) -> bool:
            return send(source, start, size, connection.send)

        state = await self._ask(UPLOAD, digest, headers, _state, body=body, accept=(200, 201))
        if not state.complete:
            raise TransportError(
                f"{self._address.url} has only {state.offset} of {size} bytes of blob {digest}"
            )

    async def _ask(
        self,
        route: AnyRoute,
        digest: str,
        headers: Mapping[str, str],
        take: Callable[[BlockingConnection, HTTPResponse], T],
        *,
        body: Callable[[BlockingConnection], bool] | None = None,
        accept: Collection[int] = (200,),
    ) -> T:
        """Send a request about a blob, and give what `take` makes of the reply, on a thread.

        An aggregator that does not speak the version asked in, and an older one that is spoken here too,
        is asked again in that.
        """
        url = self._address.of(expand(route.path, {"digest": digest}))

        def exchange(connection: BlockingConnection, last: bool) -> tuple[T] | None:
            version = self._negotiated.version
            connection.ask(route.method, url, HEADERS | self._negotiated.headers() | dict(headers))
            if body is None or body(connection):
                connection.sent()
            reply = connection.reply(route.method)
            if (
                not self._negotiated.learn_from_reply(reply.status, CIMultiDict(reply.headers), version)
                and not last
            ):
                return None
            if not self._negotiated.accepts(reply.status, accept):
                raise reported(connection.message())
            return (take(connection, reply),)

        for last in (False, True):
            done = await self._exchange(partial(exchange, last=last))
            if done is not None:
                return done[0]
        raise AssertionError("the last exchange gives an answer")

    async def _exchange(self, work: Callable[[BlockingConnection], T]) -> T:
        """Do some work over a connection, on a thread."""
        context = self._ssl_context

        def begin(connection: BlockingConnection) -> T:
            if connection.context is None:
                connection.start(context)
            return work(connection)

        connection = await self._connection()
        try:
            # Its end is waited for, as files are open; cut off, it comes at once.
            done = await in_thread(partial(begin, connection), stop=connection.abort, threads=_threads)
        except (OSError, HTTPException) as error:
            connection.close()
            raise explain(error, self._address.url, self._address.shown_proxy) from error
        except BaseException:
            self._put_to_rest(connection)  # a refusal is an answer
            raise
        self._put_to_rest(connection)
        return done

    async def _connection(self) -> BlockingConnection:
        while self._at_rest:
            connection = self._at_rest.pop()
            if connection.usable(self._ssl_context, REST_S):
                return connection
            connection.close()
        return await connected(self._address, self._patience)

    def _put_to_rest(self, connection: BlockingConnection) -> None:
        if connection.rest() and len(self._at_rest) < _MOST_AT_REST:
            self._at_rest.append(connection)
        else:
            connection.close()


def _state(connection: BlockingConnection, _: HTTPResponse) -> BlobState:
    return decode(BlobState, connection.message())
