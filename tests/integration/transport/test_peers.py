"""Peers that are something else than an aggregator."""

import asyncio
import ssl
from functools import partial
from pathlib import Path

import pytest
from tests.network import serving
from tests.parties import (
    DATA,
    DIGEST,
    Connect,
    Run,
    enrolled,
)

from hanse.core.values.identity import Role
from hanse.errors import (
    HanseError,
    ProtocolError,
    TransportError,
    VersionError,
)
from hanse.pki.authority import Authority
from hanse.transport.client.address import Patience
from hanse.transport.server.tls.listener import Bounds, TlsListener

HASTY = Patience(connect_s=0.3, idle_s=0.3)


async def read_and_say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_says_nothing_is_not_waited_for(
    run: Run, connect: Connect, aggregator: ssl.SSLContext, tls: bool
) -> None:
    async def scenario() -> None:
        async with serving(read_and_say_nothing, aggregator if tls else None) as port:
            await connect(port, patience=HASTY).hello()

    with pytest.raises(TransportError, match="did not answer in time"):
        run(scenario())


def test_a_server_that_takes_nothing_is_not_waited_for(
    run: Run, connect: Connect, aggregator: ssl.SSLContext, tmp_path: Path
) -> None:
    path = tmp_path / "update"
    path.write_bytes(DATA)
    state = b'HTTP/1.1 200 OK\r\nHanse-Protocol: 3\r\nContent-Length: 29\r\n\r\n{"complete":false,"offset":0}'

    async def state_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(state)
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with serving(state_only, aggregator) as port:
            await connect(port, patience=HASTY).deliver(DIGEST, path)

    with pytest.raises(TransportError, match="took nothing for"):
        run(scenario())


HTML = b"<html><body>Please log in to the hospital's network</body></html>"


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" + HTML, ProtocolError, "not answer like a Hanse"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", ProtocolError, "status 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProtocolError, "not HTTP"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", TransportError, "answered 503"),
        (
            b"HTTP/1.1 200 OK\r\nHanse-Protocol: 4\r\nContent-Length: 2\r\n\r\n{}",
            VersionError,
            "speaks protocol 4, and this end 3. Upgrade Hanse at this end",
        ),
        (b"HTTP/1.1 200 OK\r\nHanse-Protocol: x\r\nContent-Length: 0\r\n\r\n", ProtocolError, "Protocol 'x'"),
        (
            b"HTTP/1.1 200 OK\r\nHanse-Protocol: 3\r\nContent-Length: 4\r\n\r\nnull",
            ProtocolError,
            "malformed Hello",
        ),
        (
            b"HTTP/1.1 403 No\r\nHanse-Protocol: 3\r\nContent-Length: 2\r\n\r\n{}",
            ProtocolError,
            "malformed ErrorReply",
        ),
        (b"", TransportError, "was cut"),
    ],
)
def test_an_answer_that_is_not_an_aggregators_is_told_from_one_that_may_pass(
    run: Run,
    connect: Connect,
    aggregator: ssl.SSLContext,
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
            await connect(port).hello()

    with pytest.raises(kind, match=words):
        run(scenario())


def test_a_server_without_tls_is_no_aggregator(run: Run, connect: Connect) -> None:
    async def scenario() -> None:
        async with serving(partial(answer_anything, b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            await connect(port).hello()

    with pytest.raises(ProtocolError, match=r"no TLS 1\.3 is spoken there"):
        run(scenario())


async def answer_anything(reply: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(reply)
    await reader.read()


def test_a_server_of_an_older_tls_is_no_aggregator(
    run: Run, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    own = enrolled(authority, tmp_path, "aggregator", Role.AGGREGATOR)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(own.directory / "party.crt", own.directory / "party.key")

    async def scenario() -> None:
        listener = TlsListener(old, asyncio.Protocol, Bounds(connections=1, handshake_s=1.0, closing_s=1.0))
        port = await listener.listen("127.0.0.1", 0)
        try:
            await connect(port).hello()
        finally:
            listener.close()

    with pytest.raises(ProtocolError, match=r"no TLS 1\.3 is spoken there"):
        run(scenario())
