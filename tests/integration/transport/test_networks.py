"""Connections that break, stall or never come about."""

import asyncio
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.blobs import put
from tests.network import Relay, serving
from tests.parties import (
    DATA,
    DIGEST,
    HALF,
    PROGRESS,
    Connect,
    FakeService,
    Run,
)

from hanse.errors import (
    StorageError,
    TransportError,
)
from hanse.storage.base import BlobStore
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.retry import Retry, retrying
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer


async def cut_once_something_is_kept(call: Any, relay: Relay, blobs: BlobStore, owner: str) -> int:
    """Break the connection of a transfer halfway; gives how much of the blob is kept of it."""
    transfer = asyncio.create_task(call)
    while not blobs.partial_size(DIGEST, owner):
        await asyncio.sleep(0.01)
    relay.cut.set()
    with pytest.raises(TransportError):
        await transfer
    return blobs.partial_size(DIGEST, owner)


def test_an_upload_that_was_cut_goes_on_where_it_stopped(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, tmp_path: Path
) -> None:
    relay = Relay(server.port, up=HALF)
    path = tmp_path / "update"
    path.write_bytes(DATA)

    async def scenario() -> int:
        async with serving(relay.pass_on) as port:
            upstream = connect(port)
            deliver = upstream.deliver(DIGEST, path)
            kept = await cut_once_something_is_kept(deliver, relay, service.blobs, "hospital-a")
            # The server may still be busy with what it got: then it says so, and is asked again.
            retry = Retry(first_s=0.02, uniform=lambda: 1.0)
            await retrying(partial(upstream.deliver, DIGEST, path), retry)
            return kept

    assert 0 < run(scenario()) <= HALF
    assert service.blobs.path(DIGEST).read_bytes() == DATA


def test_a_download_that_was_cut_goes_on_where_it_stopped(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, tmp_path: Path
) -> None:
    put(service.blobs, DATA)
    relay = Relay(server.port, down=HALF)
    blobs = FileBlobStore(tmp_path / "site")

    async def scenario() -> int:
        async with serving(relay.pass_on) as port:
            upstream = connect(port)
            fetch = partial(upstream.fetch, DIGEST, blobs, owner="a", max_bytes=len(DATA))
            kept = await cut_once_something_is_kept(fetch(), relay, blobs, "a")
            await fetch()
            return kept

    assert 0 < run(scenario()) <= HALF
    assert blobs.path(DIGEST).read_bytes() == DATA


def test_an_update_that_cannot_be_read_is_no_fault_of_the_network(
    run: Run, server: HttpsServer, connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        run(connect(server.port).deliver(DIGEST, tmp_path / "nowhere"))


def test_an_aggregator_that_is_away_may_come_back(run: Run, connect: Connect) -> None:
    with pytest.raises(TransportError, match=r"https://localhost:9 cannot be reached: .*Connect") as caught:
        run(connect(9).hello())

    assert "Is the aggregator running" in caught.value.mend


def test_a_host_name_that_nobody_knows_may_become_known(run: Run, context: ssl.SSLContext) -> None:
    upstream = HttpsUpstream("https://aggregator.invalid", context, proxy=None)

    with pytest.raises(TransportError, match=r"host name in https://aggregator\.invalid is not known"):
        run(upstream.hello())
    run(upstream.close())


def test_retrying_brings_a_call_over_a_restart(
    run: Run,
    server: HttpsServer,
    connect: Connect,
    service: FakeService,
    aggregator: ssl.SSLContext,
) -> None:
    told: list[str] = []

    async def scenario() -> None:
        upstream = connect(server.port)
        await upstream.progress(PROGRESS)
        await server.close()
        again = HttpsServer(service, aggregator, "127.0.0.1", server.port)

        async def restart(delay_s: float) -> None:
            if not told[1:]:
                await again.start()

        retry = Retry(sleep=restart, on_retry=lambda error, attempt, delay_s: told.append(str(error)))
        await retrying(partial(upstream.progress, PROGRESS), retry)
        await again.close()

    run(scenario())
    assert len(service.asked) == 2
    assert "cannot be reached" in told[0]
