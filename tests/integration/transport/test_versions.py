"""Ends of different versions, over real TLS: served where they have one in common, else told who is older."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from tests.blobs import put
from tests.parties import DATA, DIGEST, PROGRESS, FakeService, Run

from hanse.errors import VersionError
from hanse.transport.api.common_routes import HELLO
from hanse.transport.api.route import Route
from hanse.transport.client.connection import HttpsConnection
from hanse.transport.client.retry import Retry, retrying
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer
from hanse.wire import protocol
from hanse.wire.messages.basics import Empty, Hello
from hanse.wire.messages.sites import NextRequest, ProgressRequest
from hanse.wire.protocol import Versions, since

Ends = Callable[..., Any]


@pytest.fixture
def ends(
    service: FakeService, aggregator: ssl.SSLContext, context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> Ends:
    """Opens an aggregator and a site that speak these versions."""

    @asynccontextmanager
    async def open_ends(here: Versions, there: Versions) -> AsyncIterator[HttpsUpstream]:
        monkeypatch.setattr(protocol, "SPOKEN", there)
        server = HttpsServer(service, aggregator, "127.0.0.1")
        await server.start()
        url = f"https://localhost:{server.port}"
        site = HttpsUpstream(url, context, proxy=None, spoken=here)
        try:
            yield site
        finally:
            await site.close()
            await server.close()

    return open_ends


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (Versions(2, 2), Versions(2, 3)),
        (Versions(2, 3), Versions(2, 2)),
        (Versions(2, 5), Versions(1, 3)),
        (Versions(1, 3), Versions(3, 9)),
        (Versions(4, 4), Versions(4, 4)),
    ],
)
def test_ends_with_a_version_in_common_do_everything(
    run: Run, ends: Ends, service: FakeService, tmp_path: Path, here: Versions, there: Versions
) -> None:
    update = tmp_path / "update"
    update.write_bytes(DATA)

    async def scenario() -> Hello:
        async with ends(here, there) as upstream:
            await upstream.progress(PROGRESS)
            await upstream.deliver(DIGEST, update)
            await upstream.next(NextRequest())
            return await upstream.hello()

    assert run(scenario()).federation == "north"
    assert service.blobs.has(DIGEST)
    assert ("progress", "hospital-a", PROGRESS) in service.asked


def test_the_first_request_may_be_a_download(
    run: Run, ends: Ends, service: FakeService, tmp_path: Path
) -> None:
    put(service.blobs, DATA)
    here = type(service.blobs)(tmp_path / "site")

    async def scenario() -> Path:
        async with ends(Versions(2, 4), Versions(2, 2)) as upstream:
            found: Path = await upstream.fetch(DIGEST, here, owner="a", max_bytes=len(DATA))
            return found

    assert run(scenario()).read_bytes() == DATA


def test_the_first_request_may_be_an_upload(
    run: Run, ends: Ends, service: FakeService, tmp_path: Path
) -> None:
    update = tmp_path / "update"
    update.write_bytes(DATA)

    async def scenario() -> None:
        async with ends(Versions(2, 4), Versions(2, 2)) as upstream:
            await upstream.deliver(DIGEST, update)

    run(scenario())

    assert service.blobs.has(DIGEST)


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        (
            Versions(2, 2),
            Versions(3, 4),
            r"speaks protocol 3-4, and this end 2\. Upgrade Hanse at this end to a version that speaks "
            r"protocol 3\.",
        ),
        (
            Versions(3, 4),
            Versions(1, 2),
            r"speaks protocol 1-2, and this end 3-4\. Upgrade Hanse at https://localhost:\d+ to a version "
            r"that speaks protocol 3\. Nothing is lost",
        ),
    ],
)
def test_ends_without_one_are_told_who_is_older(
    run: Run, ends: Ends, caplog: Any, here: Versions, there: Versions, told: str
) -> None:
    async def scenario() -> None:
        async with ends(here, there) as upstream:
            await upstream.hello()

    with pytest.raises(VersionError, match=told):
        run(scenario())

    assert f"site hospital-a speaks protocol {here}, and this aggregator {there}" in caplog.text


class Progress(ProgressRequest):
    """What a progress request might become in version 3."""

    note: str = Field("", max_length=100, json_schema_extra=since(3))


def test_a_newer_site_does_not_send_an_older_aggregator_what_it_would_refuse(
    run: Run, ends: Ends, service: FakeService
) -> None:
    newer = Progress(run_id="demo-1", exchange=1, note="news")

    async def scenario() -> None:
        async with ends(Versions(2, 3), Versions(2, 2)) as upstream:
            await upstream.progress(newer)

    run(scenario())

    assert service.asked == [("progress", "hospital-a", PROGRESS)]


def test_a_newer_aggregator_does_not_send_an_older_site_what_it_would_refuse(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NewerHello(Hello):
        load: float = Field(0.0, json_schema_extra=since(3))

    monkeypatch.setattr(
        service, "hello", lambda: NewerHello(version="0.9", federation="north", time_ms=0, load=0.5)
    )

    monkeypatch.setattr(protocol, "SPOKEN", Versions(2, 3))
    newer_route: Route[Empty, NewerHello] = Route(**_as_newer(NewerHello))

    async def scenario() -> tuple[Hello, NewerHello]:
        server = HttpsServer(service, aggregator, "127.0.0.1")
        await server.start()
        url = f"https://localhost:{server.port}"
        try:
            async with HttpsConnection(url, context, proxy=None, spoken=Versions(2, 2)) as site:
                older = await site.call(HELLO, Empty())
            async with HttpsConnection(url, context, proxy=None, spoken=Versions(2, 3)) as site:
                return older, await site.call(newer_route, Empty())
        finally:
            await server.close()

    older, newer = run(scenario())

    assert type(older) is Hello
    assert newer.load == 0.5


def _as_newer(reply: type[Hello]) -> dict[str, Any]:
    names = ("method", "path", "summary", "roles", "request", "serve", "waits")
    return {name: getattr(HELLO, name) for name in names} | {"reply": reply}


def test_an_aggregator_upgraded_meanwhile_is_spoken_to_in_what_it_now_speaks(
    run: Run,
    service: FakeService,
    aggregator: ssl.SSLContext,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> list[str]:
        told = []
        monkeypatch.setattr(protocol, "SPOKEN", Versions(2, 2))
        server = HttpsServer(service, aggregator, "127.0.0.1")
        await server.start()
        port = server.port
        site = HttpsUpstream(f"https://localhost:{port}", context, proxy=None, spoken=Versions(3, 3))

        async def upgrade(_: float) -> None:
            nonlocal server
            await server.close()
            monkeypatch.setattr(protocol, "SPOKEN", Versions(2, 3))
            server = HttpsServer(service, aggregator, "127.0.0.1", port)
            await server.start()

        retry = Retry(
            upgrade_s=60.0, sleep=upgrade, on_retry=lambda error, attempt, delay_s: told.append(str(error))
        )
        await retrying(lambda: site.progress(PROGRESS), retry)
        await site.close()
        await server.close()
        return told

    told = run(scenario())

    assert ["speaks protocol 2, and this end 3" in line for line in told] == [True]
    assert service.asked == [("progress", "hospital-a", PROGRESS)]


def test_requests_at_the_same_time_settle_on_one_version(run: Run, ends: Ends, service: FakeService) -> None:
    async def scenario() -> None:
        async with ends(Versions(2, 9), Versions(2, 2)) as upstream:
            await asyncio.gather(*(upstream.progress(PROGRESS) for _ in range(10)))

    run(scenario())

    assert len(service.asked) == 10
