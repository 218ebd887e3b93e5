"""Connections without a member's certificate: what they may do, how long, and that members do not notice."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.parties import Connect, FakeService, Run, enrolled

from hanse.errors import CredentialError, TransportError
from hanse.pki.authority import Authority
from hanse.pki.tls import client_context, unverified_context
from hanse.transport.server.server import ConnectionLimits, HttpsServer
from hanse.transport.server.tls.listener import Listener, TlsListener
from hanse.wire.messages.sites import NextRequest

REQUEST_S = 0.4
HEADER = b"POST /v1/enrol HTTP/1.1\r\nHost: a\r\nHanse-Protocol: 3\r\n"
BODY = HEADER + b"Content-Length: 100000\r\n\r\n{"
HELLO = b"GET /v1/hello HTTP/1.1\r\nHost: a\r\nHanse-Protocol: 3\r\n\r\n"

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(
    service: FakeService, context: ssl.SSLContext, kind: type[Listener] = TlsListener, **limits: Any
) -> AsyncIterator[int]:
    """A server that has little patience with strangers; its port."""
    bounds = ConnectionLimits(**{"request_s": REQUEST_S, "closing_s": 0.05} | limits)
    server = HttpsServer(service, context, "127.0.0.1", limits=bounds, listener=kind)
    await server.start()
    try:
        yield server.port
    finally:
        await server.close()


class Strangers:
    """Opens connections without a certificate, and lets go of them in the end."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    async def connect(
        self, port: int, sent: bytes = b"", *, tls: bool = True, address: str = "127.0.0.1"
    ) -> Peer:
        context = unverified_context() if tls else None
        peer = await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(address, 0))
        self.peers.append(peer)
        peer[1].write(sent)
        return peer

    def still_there(self) -> int:
        """How many the server has not let go of."""
        return sum(not reader.at_eof() and reader.exception() is None for reader, _ in self.peers)

    def close(self) -> None:
        for _, writer in self.peers:
            writer.transport.abort()


@pytest.fixture
def other(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """What a second site connects with."""
    return client_context(enrolled(authority, tmp_path, "hospital-b"))


@pytest.fixture
def strangers(run: Run) -> Iterator[Strangers]:
    strangers = Strangers()
    yield strangers
    strangers.close()
    run(asyncio.sleep(0.05))


async def hung_up_after_s(peer: Peer) -> float:
    """Wait until the other end hangs up; how long that took."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        try:
            while await peer[0].read(1 << 16):
                pass
        except ConnectionError:
            pass
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("sent", [b"", HEADER, BODY], ids=["nothing", "half a header", "half a body"])
def test_a_request_of_a_stranger_that_does_not_come_is_not_waited_for(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    listener: type[Listener],
    strangers: Strangers,
    sent: bytes,
) -> None:
    async def scenario() -> float:
        async with serving(service, aggregator, listener) as port:
            return await hung_up_after_s(await strangers.connect(port, sent))

    assert run(scenario()) < 5 * REQUEST_S


@pytest.mark.parametrize("sent", [HEADER, BODY], ids=["a header", "a body"])
def test_a_request_of_a_stranger_that_trickles_is_cut_off_all_the_same(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    listener: type[Listener],
    strangers: Strangers,
    sent: bytes,
) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(REQUEST_S / 10)

    async def scenario() -> float:
        async with serving(service, aggregator, listener) as port:
            peer = await strangers.connect(port, sent)
            trickling = asyncio.create_task(trickle(peer[1]))
            try:
                return await hung_up_after_s(peer)
            finally:
                trickling.cancel()

    assert run(scenario()) < 5 * REQUEST_S


def test_a_stranger_that_asks_is_answered_and_may_ask_again(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    listener: type[Listener],
    strangers: Strangers,
) -> None:
    async def scenario() -> None:
        async with serving(service, aggregator, listener) as port:
            reader, writer = await strangers.connect(port)
            for _ in range(6):
                writer.write(HELLO)
                assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(REQUEST_S / 3)
            assert await hung_up_after_s((reader, writer)) < 5 * REQUEST_S

    run(scenario())


def test_a_member_has_more_patience_than_a_stranger(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, listener: type[Listener], connect: Connect
) -> None:
    async def scenario() -> None:
        async with serving(service, aggregator, listener) as port:
            upstream = connect(port)
            waiting = asyncio.create_task(upstream.next(NextRequest(known="1", wait_s=60)))
            await service.waiting.wait()
            await asyncio.sleep(3 * REQUEST_S)
            service.change()
            assert (await waiting).version == "11"

    run(scenario())


@pytest.mark.parametrize(
    ("tls", "sent"),
    [(False, b""), (False, b"\x16"), (True, b""), (True, BODY)],
    ids=["silent", "begun", "no request", "half a body"],
)
def test_strangers_beyond_their_budget_are_given_up_and_members_come_in(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    strangers: Strangers,
    connect: Connect,
    tls: bool,
    sent: bytes,
) -> None:
    async def scenario() -> int:
        limits = {"strangers": 8, "request_s": 60.0, "handshake_s": 60.0}
        async with serving(service, aggregator, **limits) as port:
            for number in range(24):
                with_address = f"127.0.0.{2 + number % 12}"
                await strangers.connect(port, sent, tls=tls, address=with_address)
            assert (await connect(port).hello()).federation == "north"
            await asyncio.sleep(0.1)
            return strangers.still_there()

    assert run(scenario()) <= 8


def test_strangers_of_one_address_have_a_part_of_the_budget(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, strangers: Strangers
) -> None:
    async def scenario() -> tuple[int, bool]:
        async with serving(service, aggregator, strangers=8, request_s=60.0) as port:
            other, _ = await strangers.connect(port, tls=False, address="127.0.0.9")
            for _ in range(20):
                await strangers.connect(port, tls=False)
            await asyncio.sleep(0.1)
            return strangers.still_there(), other.at_eof()

    assert run(scenario()) == (5, False)


def test_members_do_not_count_as_strangers_once_they_are_known(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, connect: Connect
) -> None:
    async def scenario() -> None:
        async with serving(service, aggregator, strangers=1) as port:
            waits = [connect(port).next(NextRequest(known="1", wait_s=60)) for _ in range(10)]
            waiting = []
            for wait in waits:
                service.waiting.clear()
                waiting.append(asyncio.create_task(wait))
                await service.waiting.wait()
            service.change()
            assert [work.version for work in await asyncio.gather(*waiting)] == ["11"] * 10

    run(scenario())


def test_a_removed_member_is_told_so_and_counts_as_a_stranger(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    context: ssl.SSLContext,
    connect: Connect,
    strangers: Strangers,
) -> None:
    service.removed.add("hospital-a")

    async def scenario() -> float:
        async with serving(service, aggregator, connections=1) as port:
            for _ in range(3):  # more than members may be there
                with pytest.raises(CredentialError, match="was removed"):
                    await connect(port).next(NextRequest(known="", wait_s=0))
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            strangers.peers.append((reader, writer))
            return await hung_up_after_s((reader, writer))

    assert run(scenario()) < 5 * REQUEST_S


def test_one_member_cannot_take_the_connections_of_all(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    connect: Connect,
    other: ssl.SSLContext,
) -> None:
    async def scenario() -> None:
        async with serving(service, aggregator, connections=20) as port:
            for _ in range(16):
                await connect(port).hello()
            with pytest.raises(TransportError):
                await connect(port).hello()
            assert (await connect(port, other).hello()).federation == "north"

    run(scenario())


def test_strangers_cannot_fill_the_log(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    strangers: Strangers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async with serving(service, aggregator) as port:
            for number in range(100):
                with_address = f"127.0.0.{2 + number % 30}"
                reader, _ = await strangers.connect(
                    port, b"no handshake\r\n", tls=False, address=with_address
                )
                await reader.read()

    run(scenario())

    assert 1 <= len(caplog.records) < 50
