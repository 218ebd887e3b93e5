"""Blobs between a site and an aggregator: each on a thread with a connection to itself."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.blobs import put
from tests.network import Relay, answer_with, serving
from tests.parties import DATA, DIGEST, Connect, FakeService, Run, der, enrolled

from hanse.core.values.canonical import sha256
from hanse.errors import ConfigError, HanseError, ProtocolError, TransportError
from hanse.pki.authority import Authority
from hanse.pki.tls import client_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.address import Patience
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer
from hanse.transport.server.transfer_threads import TransferThreads

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "site")


@pytest.fixture
def update(tmp_path: Path) -> Path:
    path = tmp_path / "update"
    path.write_bytes(DATA)
    return path


async def fetched(upstream: HttpsUpstream, blobs: FileBlobStore, digest: str = DIGEST) -> Path:
    return await upstream.fetch(digest, blobs, owner="a", max_bytes=len(DATA))


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass


def test_one_connection_serves_one_blob_after_the_other(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, blobs: FileBlobStore
) -> None:
    digests = [put(service.blobs, DATA[start:]) for start in range(3)]
    relay = Relay(server.port)

    async def scenario() -> None:
        async with serving(relay.pass_on) as port:
            upstream = connect(port)
            for digest in digests:
                await fetched(upstream, blobs, digest)
            await upstream.deliver(sha256(b"small"), update_of(blobs, b"small"))
            for large in (DATA[3:], DATA[4:]):
                await upstream.deliver(sha256(large), update_of(blobs, large))

    run(scenario())
    assert all(blobs.has(digest) for digest in digests)
    assert all(service.blobs.has(sha256(sent)) for sent in (b"small", DATA[3:], DATA[4:]))
    assert relay.connections == 1


def update_of(blobs: FileBlobStore, data: bytes) -> Path:
    return blobs.path(put(blobs, data))


def test_a_connection_that_was_closed_meanwhile_is_replaced(
    run: Run,
    server: HttpsServer,
    connect: Connect,
    service: FakeService,
    aggregator: ssl.SSLContext,
    blobs: FileBlobStore,
) -> None:
    first, second = put(service.blobs, DATA), put(service.blobs, DATA[1:])

    async def scenario() -> None:
        upstream = connect(server.port)
        await fetched(upstream, blobs, first)
        await server.close()
        again = HttpsServer(service, aggregator, "127.0.0.1", server.port)
        await again.start()
        await fetched(upstream, blobs, second)
        await again.close()

    run(scenario())
    assert blobs.path(second).read_bytes() == DATA[1:]


def test_another_certificate_is_shown_from_the_next_blob_on(
    run: Run,
    server: HttpsServer,
    connect: Connect,
    service: FakeService,
    authority: Authority,
    blobs: FileBlobStore,
    tmp_path: Path,
) -> None:
    first, second = put(service.blobs, DATA), put(service.blobs, DATA[1:])
    other = enrolled(authority, tmp_path, "hospital-b")
    asked: list[str] = []
    service.blob_to_send = lambda peer, digest: asked.append(peer.party.name) or service.blobs.path(digest)

    async def scenario() -> None:
        upstream = connect(server.port)
        await fetched(upstream, blobs, first)
        upstream.set_ssl_context(client_context(other))
        await fetched(upstream, blobs, second)

    run(scenario())
    assert asked == ["hospital-a", "hospital-b"]
    assert der(other)


def test_blobs_go_through_a_proxy(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, blobs: FileBlobStore, update: Path
) -> None:
    small = put(service.blobs, b"a model")
    relay = Relay(server.port)

    async def scenario() -> None:
        async with serving(relay.proxy) as port:
            upstream = connect(server.port, proxy=f"http://user:pass@127.0.0.1:{port}")
            await fetched(upstream, blobs, small)
            await upstream.deliver(DIGEST, update)

    run(scenario())
    assert set(relay.proxied) == {f"CONNECT localhost:{server.port} HTTP/1.1"}
    assert service.blobs.path(DIGEST).read_bytes() == DATA


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ConfigError, "answered 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", TransportError, "answered 502"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", TransportError, "cannot be reached: what came is not HTTP"),
    ],
)
def test_a_proxy_that_refuses_a_blob_is_named_without_its_password(
    run: Run, connect: Connect, blobs: FileBlobStore, reply: bytes, kind: type[HanseError], words: str
) -> None:
    async def scenario() -> None:
        async with serving(partial(answer_with, reply)) as port:
            await fetched(connect(1, proxy=f"http://user:secret@127.0.0.1:{port}"), blobs)

    with pytest.raises(kind, match=rf"the proxy http://127.0.0.1:\d+/? {words}") as caught:
        run(scenario())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "proxy", "words"),
    [
        ("https://localhost:9", None, "https://localhost:9 cannot be reached: .*[Cc]onnect"),
        ("https://aggregator.invalid", None, r"host name in https://aggregator\.invalid is not known"),
        ("https://localhost:9", "http://127.0.0.1:9", r"the proxy http://127.0.0.1:9/? cannot be reached"),
        ("https://localhost:9", "http://proxy.invalid:9", "the proxy http://proxy.invalid:9/? cannot be"),
    ],
)
def test_an_aggregator_that_is_away_may_come_back(
    run: Run, context: ssl.SSLContext, blobs: FileBlobStore, url: str, proxy: str | None, words: str
) -> None:
    upstream = HttpsUpstream(url, context, proxy=proxy)

    with pytest.raises(TransportError, match=words):
        run(fetched(upstream, blobs))
    run(upstream.close())


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("way", ["fetch", "deliver"])
def test_a_server_that_says_nothing_is_not_waited_for(
    run: Run,
    connect: Connect,
    aggregator: ssl.SSLContext,
    blobs: FileBlobStore,
    update: Path,
    tls: bool,
    way: str,
) -> None:
    async def scenario() -> None:
        async with serving(say_nothing, aggregator if tls else None) as port:
            upstream = connect(port, patience=Patience(connect_s=0.3, idle_s=0.3))
            await (fetched(upstream, blobs) if way == "fetch" else upstream.deliver(DIGEST, update))

    with pytest.raises(TransportError, match="did not answer in time"):
        run(scenario())


@pytest.mark.parametrize("tls", [False, True])
def test_a_transfer_that_nobody_waits_for_any_more_ends_at_once(
    run: Run, connect: Connect, aggregator: ssl.SSLContext, blobs: FileBlobStore, tls: bool
) -> None:
    async def scenario() -> None:
        async with serving(say_nothing, aggregator if tls else None) as port:
            transfer = asyncio.create_task(fetched(connect(port), blobs))
            await asyncio.sleep(0.2)
            transfer.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait({transfer})
        assert transfer.cancelled()

    run(scenario())


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ProtocolError, "not answer like a Hanse"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProtocolError, "not HTTP"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", TransportError, "answered 503"),
        (b"HTTP/1.1 302 Found\r\nHanse-Protocol: 3\r\nContent-Length: 0\r\n\r\n", ProtocolError, "302"),
        (b"HTTP/1.1 206 OK\r\nHanse-Protocol: 3\r\nContent-Length: 1\r\n\r\nx", ProtocolError, "its size"),
        (
            b"HTTP/1.1 206 OK\r\nHanse-Protocol: 3\r\nContent-Range: bytes 0-9/10\r\n\r\n",
            ProtocolError,
            "without its length",
        ),
        (
            b"HTTP/1.1 206 OK\r\nHanse-Protocol: 3\r\nContent-Range: bytes 0-1/99999999\r\n\r\n",
            ProtocolError,
            "at most 10240000 are due",
        ),
        (
            b"HTTP/1.1 403 No\r\nHanse-Protocol: 3\r\nContent-Length: 2\r\n\r\n{}",
            ProtocolError,
            "malformed ErrorReply",
        ),
        (
            b"HTTP/1.1 403 No\r\nHanse-Protocol: 3\r\nContent-Length: 99999999\r\n\r\n" + bytes(9_000_000),
            ProtocolError,
            "too long",
        ),
        (b"", TransportError, "was cut"),
    ],
)
def test_an_answer_that_is_not_an_aggregators_is_told_from_one_that_may_pass(
    run: Run,
    connect: Connect,
    aggregator: ssl.SSLContext,
    blobs: FileBlobStore,
    reply: bytes,
    kind: type[HanseError],
    words: str,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        if reply:
            await reader.read()

    async def scenario() -> None:
        async with serving(answer, aggregator) as port:
            await fetched(connect(port), blobs)

    with pytest.raises(kind, match=words):
        run(scenario())


def test_bodies_for_which_there_is_no_thread_go_by_the_event_loop(
    run: Run,
    aggregator: ssl.SSLContext,
    connect: Connect,
    service: FakeService,
    blobs: FileBlobStore,
    update: Path,
) -> None:
    class Busy(TransferThreads):
        def free(self) -> bool:
            return False

    model = put(service.blobs, DATA[1:])

    async def scenario() -> None:
        server = HttpsServer(service, aggregator, "127.0.0.1", transfer_threads=Busy())
        await server.start()
        try:
            upstream = connect(server.port)
            await fetched(upstream, blobs, model)
            await upstream.deliver(DIGEST, update)
        finally:
            await server.close()

    run(scenario())
    assert blobs.path(model).read_bytes() == DATA[1:]
    assert service.blobs.path(DIGEST).read_bytes() == DATA
