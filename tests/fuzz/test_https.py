"""Raw bytes, over real TLS, to an aggregator's port and from it: each is answered in words or hung up on."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.network import answer_with, serving
from tests.parties import DIGEST, PROGRESS, FakeService, Run

from hanse.errors import HanseError
from hanse.transport.client.address import Patience
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import ConnectionLimits, HttpsServer
from hanse.wire import protocol
from hanse.wire.messages.sites import NextRequest

PATIENCE_S = 20.0
SENT = b"Host: a\r\nHanse-Protocol: %d\r\n" % protocol.SPOKEN.newest
CHUNKED = b"POST /v1/progress HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + SENT + b"\r\n"
BLOB = f"/v1/blobs/{DIGEST}".encode()


def get(path: bytes, headers: bytes = b"", sent: bytes = SENT) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + headers + sent + b"\r\n"


def post(body: bytes, headers: bytes = b"", path: bytes = b"/v1/progress") -> bytes:
    length = b"" if b"-Length" in headers else b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\n" + headers + length + SENT + b"\r\n" + body


def put(size: bytes, headers: bytes = b"Content-Length: 1\r\n") -> bytes:
    return b"PUT " + BLOB + b" HTTP/1.1\r\nContent-Range: " + size + b"\r\n" + headers + SENT + b"\r\nx"


REQUESTS = {
    "no HTTP": b"\x00\xff\x80\r\n\r\n",
    "HTTP 0.9": b"GET /v1/hello\r\n\r\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method without end": b"A" * 100_000,
    "a path without end": get(b"/" + b"a" * 100_000),
    "half an address": get(b"http://[::1"),
    "a port too high": get(b"http://a:99999999/v1/hello"),
    "a path that is no text": get(b"/v1/%ff%00%0aERROR%zz?%ff=%ed%a0%80"),
    "a query that is no text": get(b"/v1/uploads/" + DIGEST.encode() + b"?%00=%ed%a0%80"),
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\n" + SENT + b"\r\n",
    "another protocol": get(b"/v1/hello", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "a negative length": post(b"", b"Content-Length: -5\r\n"),
    "an endless length": post(b"", b"Content-Length: 99999999999999999999999\r\n"),
    "a length that does not come": post(b"{", b"Content-Length: 9223372036854775807\r\n"),
    "two lengths": post(b"{}", b"Content-Length: 2\r\nContent-Length: 3\r\n"),
    "length and chunks": post(b"0\r\n\r\n", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
    "an unknown encoding": post(b"{}", b"Transfer-Encoding: gzip, other\r\n"),
    "a chunk of no size": CHUNKED + b"zz\r\n\r\n",
    "a chunk of endless size": CHUNKED + b"ffffffffffffffffff\r\n\r\n",
    "a chunk that does not come": CHUNKED + b"7fffffffffffffff\r\n{}",
    "a chunk with endless extensions": CHUNKED + b"1;" + b"a" * 100_000 + b"\r\n{\r\n0\r\n\r\n",
    "endless trailers": CHUNKED + b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    "endless headers": get(b"/v1/hello", b"".join(b"a%d: b\r\n" % n for n in range(100_000))),
    "a header of 32 MB": get(b"/v1/hello", b"a: " + b"b" * 2**25 + b"\r\n"),
    "a header that is no text": get(b"/v1/hello", b"a\x00\xff: \x01\r\n"),
    "a header over two lines": get(b"/v1/hello", b"a: b\r\n c\r\n"),
    "a version without end": get(b"/v1/hello", sent=b"Hanse-Protocol: " + b"1" * 8_000 + b"\r\n"),
    "a version that is no number": get(b"/v1/hello", sent=b"Hanse-Protocol: \xb2\r\n"),
    "a range without end": get(BLOB, b"Range: bytes=" + b"9" * 5_000 + b"-\r\n"),
    "a range backwards": get(BLOB, b"Range: bytes=5-2\r\n"),
    "a size without end": put(b"bytes 0-0/" + b"9" * 5_000),
    "a size of an exabyte": put(b"bytes 0-0/999999999999999999"),
    "an upload in chunks": put(b"bytes 0-4/5", b"Transfer-Encoding: chunked\r\n"),
    "halves of surrogates": post(b'{"run_id":"\\ud800","exchange":1}'),
    "a body of NaN": post(b'{"statement":{"body":{"a":NaN},"key":"","signature":""}}', path=b"/v1/results"),
    "depth": post(b"[" * 500_000),
    "an expectation": post(b"{}", b"Expect: nonsense\r\n"),
}


@asynccontextmanager
async def open_port(service: FakeService, context: ssl.SSLContext) -> AsyncIterator[HttpsServer]:
    server = HttpsServer(service, context, "127.0.0.1", limits=ConnectionLimits(idle_s=0.2, keepalive_s=1.0))
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def send(port: int, context: ssl.SSLContext, data: bytes) -> bytes:
    """Send, and read until the other end hangs up."""
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    sending = asyncio.create_task(_write(writer, data))
    found = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while part := await reader.read(1 << 16):
                found += part
    except ConnectionError:
        pass  # it hung up while more was coming
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        writer.transport.abort()
    return bytes(found)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        writer.write(data)
        await writer.drain()
    except ConnectionError:
        pass


@pytest.fixture
def sane(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """Nothing was logged that nobody foresaw: no internal error, no stack trace, no line of a stranger's."""
    caplog.set_level(logging.INFO)

    def check() -> None:
        for record in caplog.records:
            assert record.exc_info is None, record.getMessage()
            assert "internal error" not in record.getMessage()
            assert "\n" not in record.getMessage()

    return check


def test_no_request_brings_the_server_down(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    context: ssl.SSLContext,
    sane: Callable[[], None],
) -> None:
    async def scenario() -> dict[str, bytes]:
        async with open_port(service, aggregator) as server:
            ask = [send(server.port, context, request) for request in REQUESTS.values()]
            replies = dict(zip(REQUESTS, await asyncio.gather(*ask), strict=True))
            assert (await send(server.port, context, get(b"/v1/hello"))).startswith(b"HTTP/1.1 200")
        return replies

    replies = run(scenario())

    sane()
    assert not {name for name, reply in replies.items() if b" 500 " in reply[:20]}
    unanswered = {name for name, reply in replies.items() if not reply.startswith(b"HTTP/")}
    assert unanswered <= {"a header of 32 MB", "endless headers", "endless trailers", "depth"}  # hung up on


def test_changed_requests_are_answered_or_hung_up_on(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    context: ssl.SSLContext,
    sane: Callable[[], None],
) -> None:
    rand = random.Random(1)
    valid = [
        post(b'{"run_id":"demo-1","exchange":1}'),
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
        put(b"bytes 0-0/9"),
    ]
    valid += [get(b"/v1/hello"), get(BLOB, b"Range: bytes=0-5\r\n"), post(b"{}", path=b"/v1/next")]

    def changed() -> bytes:
        data = bytearray(rand.choice(valid))
        for _ in range(rand.randint(1, 4)):
            begin = rand.randrange(len(data))
            data[begin : begin + rand.randint(0, 3)] = rand.choice(
                (b"", b"\0", b"\xff", b"\r\n", b" ", b":", b"9" * 30, b"-1", b"%", data[:begin])
            )
        return bytes(data)

    async def scenario() -> list[bytes]:
        async with open_port(service, aggregator) as server:
            found = []
            for _ in range(4):
                found += await asyncio.gather(*(send(server.port, context, changed()) for _ in range(50)))
            return found

    replies = run(scenario())

    sane()
    assert not [reply for reply in replies if b" 500 " in reply[:20]]
    assert sum(reply.startswith(b"HTTP/") for reply in replies) > len(replies) / 3


@pytest.mark.parametrize(
    "first", [b"", b"GET /v1/hello HT", get(b"/v1/hello") + b"GET /v1/hello HTTP/1.1\r\nHo"]
)
def test_who_sends_a_request_byte_by_byte_is_hung_up_on(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, context: ssl.SSLContext, first: bytes
) -> None:
    async def scenario() -> float:
        async with open_port(service, aggregator) as server:
            reader, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
            writer.write(first)
            begin = asyncio.get_running_loop().time()
            reading = asyncio.create_task(reader.read(-1))
            while not reading.done():
                writer.write(b"a")
                await asyncio.wait({reading}, timeout=0.1)
            writer.transport.abort()
            return asyncio.get_running_loop().time() - begin

    assert run(scenario()) < PATIENCE_S


def test_a_message_that_comes_byte_by_byte_is_not_waited_for(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> bytes:
        async with open_port(service, aggregator) as server:
            reader, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
            writer.write(post(b"{", b"Content-Length: 1000\r\n", path=b"/v1/enrol"))
            reading = asyncio.create_task(reader.readuntil(b"}"))
            while not reading.done():
                writer.write(b" ")
                await asyncio.wait({reading}, timeout=0.1)
            writer.transport.abort()
            return await reading

    assert b"a message was not whole after 1 s" in run(scenario())


SPOKEN = b"Hanse-Protocol: %d\r\n" % protocol.SPOKEN.newest
REPLIES = {
    "nothing": b"",
    "no HTTP": b"\x00\xff\x80\r\n\r\n",
    "no header": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a status of none": b"HTTP/1.1 99999 \xff\r\n" + SPOKEN + b"\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"Content-Length: -1\r\n\r\n{}",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"a: b\r\n" * 100_000,
    "a header of 32 MB": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"a: " + b"b" * 2**25,
    "another place": b"HTTP/1.1 302 Found\r\n" + SPOKEN + b"Location: http://a/\r\nContent-Length: 0\r\n\r\n",
    "no message": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"Content-Length: 2\r\n\r\n[]",
    "depth": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"Content-Length: 500000\r\n\r\n" + b"[" * 500_000,
    "a message without end": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"\r\n" + b" " * 2**22,
    "a message cut short": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"Content-Length: 99\r\n\r\n{",
    "chunks of no size": b"HTTP/1.1 200 OK\r\n" + SPOKEN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an error of no kind": b"HTTP/1.1 400 No\r\n"
    + SPOKEN
    + b'Content-Length: 33\r\n\r\n{"error":"x","message":"\\ud800"}  ',
    "a range of no size": b"HTTP/1.1 206 OK\r\n"
    + SPOKEN
    + b"Content-Range: bytes 0-5/x\r\nContent-Length: 0\r\n\r\n",
    "a range too large": b"HTTP/1.1 206 OK\r\n"
    + SPOKEN
    + b"Content-Range: bytes 0-5/999999999999999999\r\nContent-Length: 0\r\n\r\n",
    "a range cut short": b"HTTP/1.1 206 OK\r\n"
    + SPOKEN
    + b"Content-Range: bytes 0-99/100\r\nContent-Length: 100\r\n\r\nabc",
    "a range too long": b"HTTP/1.1 206 OK\r\n"
    + SPOKEN
    + b"Content-Range: bytes 0-1/2\r\nContent-Length: 9\r\n\r\nabcdefghi",
}


@pytest.mark.parametrize("name", REPLIES)
def test_no_reply_brings_a_client_down(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, context: ssl.SSLContext, name: str
) -> None:
    async def scenario() -> None:
        patience = Patience(connect_s=0.5, idle_s=0.3)
        async with serving(functools.partial(answer_with, REPLIES[name]), aggregator) as port:
            upstream = HttpsUpstream(f"https://localhost:{port}", context, proxy=None, patience=patience)
            calls: tuple[Callable[[], Awaitable[object]], ...] = (
                upstream.hello,
                lambda: upstream.next(NextRequest(wait_s=0)),
                lambda: upstream.progress(PROGRESS),
                lambda: upstream.fetch(DIGEST, service.blobs, owner="a", max_bytes=1_000),
            )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    for call in calls:
                        with pytest.raises(HanseError) as refused:
                            await call()
                        assert len(str(refused.value)) < 4_000
            finally:
                await upstream.close()

    run(scenario())
