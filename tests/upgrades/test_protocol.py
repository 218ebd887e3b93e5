"""Parties of 0.1, which speak protocol 1, are told in words of theirs to upgrade, and so are their peers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl

import pytest
from tests.integration.transport.conftest import (
    aggregator,
    authority,
    connect,
    context,
    listener,
    server,
    service,
    site,
)
from tests.network import serving
from tests.parties import DIGEST, Connect, FakeService, Run, run

from hanse.errors import VersionError
from hanse.transport.server.server import HttpsServer

__all__ = [
    "aggregator",
    "authority",
    "connect",
    "context",
    "listener",
    "run",
    "server",
    "service",
    "site",
]

ASKED_BY_0_1 = (
    b"%b HTTP/1.1\r\nHost: localhost:28443\r\nUser-Agent: hanse\r\nAccept-Encoding: identity\r\n"
    b"Hanse-Protocol: 1\r\n%bAccept: */*\r\n%b"
)
"""A request as version 0.1 sends it: method and path, the range that it states, and the rest."""
NEXT_OF_0_1 = b'Content-Type: application/json\r\nContent-Length: 25\r\n\r\n{"known":"","wait_s":0.0}'
REFUSED_BY_0_1 = (
    b"HTTP/1.1 426 Upgrade Required\r\nHanse-Protocol: 1\r\nHanse-Protocols: 1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 198\r\nDate: Mon, 30 Nov 2026 09:58:55 GMT\r\n"
    b"Server: Python/3.11 aiohttp/3.14.5\r\n\r\n"
    b'{"error":"version","message":"the party that asks speaks protocol 2, and this aggregator 1",'
    b'"mend":"Upgrade Hanse at this aggregator to a version that speaks protocol 2. Nothing is lost '
    b'meanwhile."}'
)
"""A reply of an aggregator of version 0.1 to a request in another protocol, as it came."""


@pytest.mark.parametrize("stated", [b"Hanse-Protocols: 1\r\n", b""], ids=["a range", "no range"])
@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (b"GET /v1/hello", b"\r\n"),
        (b"POST /v1/next", NEXT_OF_0_1),
        (b"GET /v1/runs", b"\r\n"),
        (b"POST /v1/runs/demo-1/sites/b/take-back", b"Content-Length: 2\r\n\r\n{}"),
        (b"GET /v1/blobs/" + DIGEST.encode(), b"\r\n"),
    ],
)
def test_a_party_of_0_1_is_told_in_words_that_it_can_read_to_upgrade(
    run: Run,
    server: HttpsServer,
    service: FakeService,
    context: ssl.SSLContext,
    line: bytes,
    stated: bytes,
    rest: bytes,
) -> None:
    async def scenario() -> bytes:
        reader, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
        writer.write(ASKED_BY_0_1 % (line, stated, rest))
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"\r\nContent-Length: ([0-9]+)\r\n", head)
        body = await reader.readexactly(int(length))
        writer.close()
        return head + body

    head, _, body = run(scenario()).partition(b"\r\n\r\n")

    # A client of 0.1 goes by the status and by these two headers, and does not read on where they have no
    # version in common with its own; the words are those that its error would have.
    assert head.startswith(b"HTTP/1.1 426 Upgrade Required\r\nHanse-Protocol: 3\r\nHanse-Protocols: 3\r\n")
    assert json.loads(body) == {
        "error": "version",
        "message": "site hospital-a speaks protocol 1, and this aggregator 3",
        "mend": "Upgrade Hanse at site hospital-a to a version that speaks protocol 3. Nothing is lost "
        "meanwhile.",
    }
    assert service.asked == []


def test_a_site_at_an_aggregator_of_0_1_is_told_in_words_to_have_the_aggregator_upgraded(
    run: Run, connect: Connect, aggregator: ssl.SSLContext
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(REFUSED_BY_0_1)
        await reader.read()

    async def scenario() -> None:
        async with serving(refuse, aggregator) as port:
            await connect(port).hello()

    with pytest.raises(
        VersionError,
        match=r"^https://localhost:\d+ speaks protocol 1, and this end 3\. Upgrade Hanse at "
        r"https://localhost:\d+ to a version that speaks protocol 3\. Nothing is lost meanwhile\.$",
    ):
        run(scenario())
