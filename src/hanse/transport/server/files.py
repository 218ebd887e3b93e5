"""The HTTPS server's requests that move files: blobs up and down, a run's journal."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from hanse.concurrency import in_thread
from hanse.errors import HanseError, ProtocolError, TransportError
from hanse.storage.base import BlobWriter
from hanse.transport.api.common_routes import BLOB, BLOB_HEAD, OPENAPI, UPLOAD
from hanse.transport.api.member_routes import AUTHORITY
from hanse.transport.api.openapi import openapi_json
from hanse.transport.api.route import Bulk, Call
from hanse.transport.api.run_routes import EXPORT
from hanse.transport.body_io import opened, pieces, pour, receive, size_of
from hanse.transport.server.replies import headers, refuse, reply
from hanse.transport.server.tls.connection import TlsConnection
from hanse.transport.server.transfer_threads import TransferThreads
from hanse.transport.service import OpenUpload
from hanse.wire.messages.basics import BlobState, Empty, encode

logger = logging.getLogger(__name__)

_LAST_NOTHING = re.compile(r"bytes=-0+")
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Asked:
    """An admitted request.

    Attributes:
        transfer_threads: Moves long ones.
        idle_s: Longest wait for the peer to send or to take something.
        worth_lending: Bytes from which on a thread moves a body.
    """

    http: web.BaseRequest
    call: Call[Empty]
    transfer_threads: TransferThreads
    idle_s: float
    worth_lending: int


async def _authority(asked: Asked) -> web.StreamResponse:
    return reply(asked.http, 200, asked.call.service.authority_pem().encode(), AUTHORITY.media)


async def _openapi(asked: Asked) -> web.StreamResponse:
    return reply(asked.http, 200, openapi_json(), OPENAPI.media)


async def _export(asked: Asked) -> web.StreamResponse:
    path = await asked.call.service.run_requests.export(asked.call.peer, asked.call.params["run_id"])
    response = web.StreamResponse(headers=headers(asked.http) | {"Content-Type": EXPORT.media})
    return await _send(asked, response, path, 0, size_of(path))


async def _send_blob(asked: Asked) -> web.StreamResponse:
    digest = asked.call.params["digest"]
    path = asked.call.service.blob_requests.blob_to_send(asked.call.peer, digest)
    size = size_of(path)
    told = headers(asked.http) | {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Content-Type": BLOB.media}
    wanted = _range(asked.http)
    if wanted is None:
        response = web.StreamResponse(headers=told)
        return await _send(asked, response, path, 0, size)
    start, stop, _ = wanted.indices(size)
    if start >= stop:
        return web.Response(status=416, headers=told | {"Content-Range": f"bytes */{size}"})
    told["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response = web.StreamResponse(status=206, headers=told)
    return await _send(asked, response, path, start, stop)


async def _take_blob(asked: Asked) -> web.StreamResponse:
    start, length, size = _content_range(asked.http)
    upload = asked.call.service.blob_requests.blob_to_take(asked.call.peer, asked.call.params["digest"], size)
    if upload is None:
        return reply(asked.http, 200, encode(BlobState(complete=True, offset=size)))
    begin = partial(_begin, upload, start)
    try:
        if connection := _to_lend(asked, length):
            state = await _take_over(asked, connection, begin, length, size)
        else:
            with closing(await opened(begin)) as writer:
                if length:
                    await pour(asked.http.content, writer.write, asked.idle_s)
                state = await in_thread(partial(_end, writer, size))
    except OffsetMismatchError as found:
        # Worth trying again: whoever does asks first how much is here.
        error = TransportError(f"the upload resumes at byte {found.offset}, not at {start}")
        return refuse(asked.http, error, status=409)
    return reply(asked.http, 201 if state.complete else 200, encode(state))


class OffsetMismatchError(Exception):
    """A body begins where the upload does not go on."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def _begin(upload: OpenUpload, start: int | None) -> BlobWriter:
    """Open an upload for a body that begins at `start`; None where there is no body."""
    writer = upload()
    try:
        if start == 0 and writer.offset:
            writer.restart()  # whoever sends all of it need not know what is here
        if start not in (None, writer.offset):
            raise OffsetMismatchError(writer.offset)
    except BaseException:
        writer.close()
        raise
    return writer


def _end(writer: BlobWriter, size: int) -> BlobState:
    """Put the blob in place, if it is whole."""
    complete = writer.offset == size
    if complete:
        writer.commit()
    return BlobState(complete=complete, offset=writer.offset)


async def _take_over(
    asked: Asked, connection: TlsConnection, begin: Callable[[], BlobWriter], length: int, size: int
) -> BlobState:
    """Receive a body on one thread, from the opening of the upload to its end.

    aiohttp's parser never sees the body's end, so that it can only answer this request.
    """
    request = asked.http
    first = request.content.read_nowait()  # what the parser has of it; nothing is added before the next await
    came = ""

    def take(source: ssl.SSLSocket) -> BlobState:
        nonlocal came
        with closing(begin()) as writer:
            came = "a part"
            receive(source, length, first, writer.write)
            came = "all"
            return _end(writer, size)

    try:
        return await asked.transfer_threads.receive(connection, take, asked.idle_s)
    finally:
        if came:
            request.protocol.close()  # after the answer, whatever that is
            request.content.feed_eof()  # aiohttp would wait for the rest before it closes the connection
        if came == "all" and request.keep_alive:
            connection.replace_protocol()


def _to_lend(asked: Asked, length: int) -> TlsConnection | None:
    """The connection to lend to a thread for a body; None where it goes by the event loop."""
    connection = asked.http.transport
    if length < asked.worth_lending or not isinstance(connection, TlsConnection):
        return None
    return connection if asked.transfer_threads.has_free_thread() else None


HANDLERS: dict[Bulk, Callable[[Asked], Awaitable[web.StreamResponse]]] = {
    AUTHORITY: _authority,
    OPENAPI: _openapi,
    BLOB: _send_blob,
    BLOB_HEAD: _send_blob,
    UPLOAD: _take_blob,
    EXPORT: _export,
}


async def _send(
    asked: Asked, response: web.StreamResponse, path: Path, start: int, stop: int
) -> web.StreamResponse:
    request = asked.http
    response.content_length = stop - start
    writer = await response.prepare(request)
    if request.method == "HEAD" or writer is None:
        return response
    try:
        if connection := _to_lend(asked, stop - start):
            writer.send_headers()
            await asked.transfer_threads.send(connection, path, start, stop, asked.idle_s)
        else:
            async with aclosing(pieces(path, start, stop)) as body:
                async for piece in body:
                    async with asyncio.timeout(asked.idle_s):
                        await response.write(piece)
    except (HanseError, TimeoutError) as error:
        # The status is sent: only a body cut short can still say that something is wrong.
        logger.warning("cut %s %s short: %s", request.method, request.path, error or "the peer took nothing")
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError from error
    return response


def _range(request: web.BaseRequest) -> slice | None:
    """What Range asks for; None where there is none, or one of a kind that may be ignored (RFC 9110)."""
    if request.method != "GET" or "Range" not in request.headers:
        return None
    if _LAST_NOTHING.fullmatch(request.headers["Range"]):
        return slice(0, 0)  # aiohttp takes it for everything
    try:
        return request.http_range
    except ValueError:
        return None


def _content_range(request: web.BaseRequest) -> tuple[int | None, int, int]:
    """Where the body of an upload begins (None where there is no body), its length, and the blob's size."""
    stated = request.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(stated)
    if match is None:
        raise ProtocolError("an upload states `Content-Range: bytes FIRST-LAST/SIZE`, or `bytes */SIZE`")
    first, last, size = match.groups()
    length = 0 if first is None else int(last) - int(first) + 1
    if length != (request.content_length or 0) or (first and not int(first) <= int(last) < int(size)):
        raise ProtocolError(f"Content-Range says {stated!r}, Content-Length {request.content_length}")
    return None if first is None else int(first), length, int(size)
