"""The server's end of TLS, on the event loop and lent to a thread."""

import asyncio
import contextlib
import errno
import random
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from tests.parties import Run

from hanse.transport.server.tls.connection import TlsConnection
from hanse.transport.server.tls.listener import Bounds, TlsListener

DATA = random.Random(1).randbytes(3_000_000)
BOUNDS = Bounds(connections=2, handshake_s=0.3, closing_s=0.3)

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Kept(asyncio.Protocol):
    """Keeps what comes, and notes what it is told."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.changed = asyncio.Event()
        self.lost = asyncio.Event()
        self.losses: list[Exception | None] = []
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self.connection = transport

    def data_received(self, data: bytes) -> None:
        self.came += data
        self.changed.set()

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.losses.append(exc)
        self.lost.set()

    async def until(self, length: int) -> bytes:
        """Wait until so much has come."""
        async with asyncio.timeout(5):
            while len(self.came) < length:
                self.changed.clear()
                await self.changed.wait()
        return bytes(self.came)


class Server:
    """Listens, and has the protocol of every connection."""

    def __init__(self, context: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.client = client
        self.made: list[Kept] = []
        self.peers: list[asyncio.StreamWriter] = []
        self.listener = TlsListener(context, self._make, BOUNDS, lambda certificate: "a")
        self.threads = ThreadPoolExecutor(1)

    def _make(self) -> Kept:
        self.made.append(Kept())
        return self.made[-1]

    async def connect(self, *, tls: bool = True) -> Peer:
        options = {"ssl": self.client, "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self.peers.append(writer)
        return reader, writer

    async def pair(self) -> tuple[Kept, Peer]:
        peer = await self.connect()
        await self.carries(1)
        return self.made[-1], peer

    async def carries(self, count: int) -> None:
        """Wait until so many connections have had a protocol."""
        async with asyncio.timeout(5):
            while len(self.made) < count:
                await asyncio.sleep(0.01)


def fill(kept: Kept) -> int:
    """Write to a peer that does not read, until more is left here than the system takes; how much."""
    written = 0
    while kept.connection.get_write_buffer_size() < 4 * len(DATA):
        kept.connection.write(DATA)
        written += len(DATA)
    return written


@asynccontextmanager
async def listening(context: ssl.SSLContext, client: ssl.SSLContext) -> AsyncIterator[Server]:
    server = Server(context, client)
    server.port = await server.listener.listen("127.0.0.1", 0)
    try:
        yield server
    finally:
        server.listener.close()
        for kept in server.made:
            kept.connection.abort()
        for peer in server.peers:
            peer.transport.abort()
        server.threads.shutdown()
        await asyncio.sleep(0.01)


def test_what_is_sent_comes_whole_both_ways(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> tuple[bytes, bytes]:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            writer.write(DATA)
            kept.connection.write(DATA)
            return await kept.until(len(DATA)), await reader.readexactly(len(DATA))

    assert run(scenario()) == (DATA, DATA)


def test_a_peer_that_reads_slowly_holds_the_writer_back(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> int:
        async with listening(aggregator, context) as server:
            kept, (reader, _) = await server.pair()
            await reader.readexactly(fill(kept))
            async with asyncio.timeout(5):
                await kept.may_write.wait()
            return kept.connection.get_write_buffer_size()

    assert run(scenario()) == 0


def test_a_reader_that_pauses_gets_the_rest_afterwards(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> tuple[int, bytes]:
        async with listening(aggregator, context) as server:
            kept, (_, writer) = await server.pair()
            kept.connection.pause_reading()
            writer.write(DATA)
            await asyncio.sleep(0.05)
            before = len(kept.came)
            kept.connection.resume_reading()
            return before, await kept.until(len(DATA))

    assert run(scenario()) == (0, DATA)


def test_a_thread_takes_its_part_and_the_loop_what_comes_behind(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    def take(source: ssl.SSLSocket) -> bytes:
        part = bytearray()
        while len(part) < 1_000_000:
            part += source.recv(1_000_000 - len(part))
        source.sendall(b"from a thread, ")
        return bytes(part)

    async def scenario() -> tuple[bytes, bytes, bytes]:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            lent = asyncio.create_task(kept.connection.on_thread(take, 5.0, server.threads))
            await asyncio.sleep(0)
            writer.write(DATA)
            part = await lent
            kept.connection.write(b"from the loop")
            return part, await kept.until(len(DATA) - 1_000_000), await reader.readexactly(28)

    part, rest, answer = run(scenario())

    assert part + rest == DATA
    assert answer == b"from a thread, from the loop"


def test_what_was_written_goes_before_what_a_thread_sends(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> bytes:
        async with listening(aggregator, context) as server:
            kept, (reader, _) = await server.pair()
            written = fill(kept)
            lent = kept.connection.on_thread(lambda goal: goal.sendall(b"behind"), 5.0, server.threads)
            task = asyncio.create_task(lent)
            await reader.readexactly(written)
            await task
            return await reader.readexactly(6)

    assert run(scenario()) == b"behind"


def test_a_peer_that_takes_nothing_is_not_waited_for(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, _ = await server.pair()
            fill(kept)
            with pytest.raises(TimeoutError):
                await kept.connection.on_thread(lambda goal: goal.sendall(b"!"), 0.1, server.threads)
            kept.connection.close()
            async with asyncio.timeout(5):
                await kept.lost.wait()

    run(scenario())


def test_a_thread_that_waits_for_nothing_is_ended_with_its_task(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, _ = await server.pair()
            lent = kept.connection.on_thread(lambda source: source.recv(1), 60.0, server.threads)
            task = asyncio.create_task(lent)
            await asyncio.sleep(0.05)
            task.cancel()
            async with asyncio.timeout(5):
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        assert task.cancelled()

    run(scenario())


def test_a_thread_whose_peer_says_nothing_is_not_kept(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, _ = await server.pair()
            await kept.connection.on_thread(lambda source: source.recv(1), 0.05, server.threads)

    with pytest.raises(TimeoutError):
        run(scenario())


def test_a_peer_that_is_gone_breaks_the_connection_of_a_thread(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    def pour(goal: ssl.SSLSocket) -> None:
        while True:
            goal.sendall(DATA)

    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, (_, writer) = await server.pair()
            lent = asyncio.create_task(kept.connection.on_thread(pour, 5.0, server.threads))
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await lent

    with pytest.raises(ConnectionError):
        run(scenario())


@pytest.mark.parametrize(
    "error",
    [ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), OSError(errno.EHOSTUNREACH, "no route")],
    ids=["TLS", "the system"],
)
def test_whatever_breaks_the_connection_of_a_thread_is_told_as_that(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext, error: OSError
) -> None:
    def fail(_: ssl.SSLSocket) -> None:
        raise error

    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, _ = await server.pair()
            await kept.connection.on_thread(fail, 5.0, server.threads)

    with pytest.raises(ConnectionResetError, match="the connection broke"):
        run(scenario())


def test_an_abort_ends_a_thread_and_is_told_once(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> list[Exception | None]:
        async with listening(aggregator, context) as server:
            kept, _ = await server.pair()
            lent = kept.connection.on_thread(lambda source: source.recv(1), 60.0, server.threads)
            task = asyncio.create_task(lent)
            await asyncio.sleep(0.05)
            kept.connection.abort()
            async with asyncio.timeout(5):
                await asyncio.wait({task})
            kept.connection.abort()
            with pytest.raises(ConnectionError):
                await kept.connection.on_thread(lambda source: source.recv(1), 60.0, server.threads)
            return kept.losses

    assert run(scenario()) == [None]


def test_a_peer_that_hangs_up_is_told_to_the_protocol(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> list[Exception | None]:
        async with listening(aggregator, context) as server:
            kept, (_, writer) = await server.pair()
            writer.close()
            async with asyncio.timeout(5):
                await kept.lost.wait()
            return kept.losses

    assert run(scenario()) == [None]


def test_what_is_written_before_a_close_arrives_though_the_peer_still_sends(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> bytes:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            kept.connection.pause_reading()
            writer.write(DATA)  # much of it unread as this end closes
            kept.connection.write(b"no more, please")
            kept.connection.close()
            return await reader.read()

    assert run(scenario()) == b"no more, please"


def test_a_peer_that_does_not_hang_up_is_not_waited_for(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            writer.transport.pause_reading()
            kept.connection.close()
            async with asyncio.timeout(5):
                await kept.lost.wait()
            del reader

    run(scenario())


def test_a_handshake_that_does_not_come_is_not_waited_for(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> bytes:
        async with listening(aggregator, context) as server:
            reader, _ = await server.connect(tls=False)
            async with asyncio.timeout(5):
                return await reader.read()

    assert run(scenario()) == b""


def test_connections_too_many_are_closed_and_make_room_as_they_end(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            (_, first), _ = await server.connect(), await server.connect()
            await server.carries(2)
            with pytest.raises(ConnectionError):
                await server.connect()
            first.close()
            async with asyncio.timeout(5):
                while True:
                    with contextlib.suppress(OSError):
                        await server.connect()
                        return
                    await asyncio.sleep(0.02)

    run(scenario())


async def read_past(kept: Kept, writer: asyncio.StreamWriter, server: Server) -> None:
    """A thread reads what the protocol then never sees; it answers, and closes."""
    writer.write(b"body")
    await kept.connection.on_thread(lambda source: source.recv(4), 5.0, server.threads)
    kept.connection.replace_protocol()
    kept.connection.write(b"answer")
    kept.connection.close()


def test_a_new_protocol_takes_over_where_a_thread_read_past_the_old_one(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            await read_past(kept, writer, server)

            assert await reader.readexactly(6) == b"answer"
            writer.write(b"next")
            assert await server.made[1].until(4) == b"next"
            assert (kept.came, kept.losses) == (b"", [None])

    run(scenario())


def test_a_protocol_that_takes_over_closes_for_good(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            await read_past(kept, writer, server)

            server.made[1].connection.close()

            async with asyncio.timeout(5):
                assert await reader.read() == b"answer"
        assert len(server.made) == 2

    run(scenario())


def test_where_nobody_listens_any_more_no_protocol_takes_over(
    run: Run, aggregator: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with listening(aggregator, context) as server:
            kept, (reader, writer) = await server.pair()
            server.listener.close()
            await read_past(kept, writer, server)

            async with asyncio.timeout(5):
                assert await reader.read() == b"answer"
            assert len(server.made) == 1

    run(scenario())
