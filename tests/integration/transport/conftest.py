"""A server on this machine and clients of it, over real TLS."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.parties import Connect, FakeService, Run, enrolled, new_authority
from tests.parties import run as run

from hanse.core.values.identity import Role
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.tls import client_context, server_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import ConnectionLimits, HttpsServer
from hanse.transport.server.tls.listener import Listener, TlsListener
from hanse.transport.server.tls.stock import StockListener


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(authority: Authority, tmp_path: Path) -> Credentials:
    return enrolled(authority, tmp_path)


@pytest.fixture
def context(site: Credentials) -> ssl.SSLContext:
    return client_context(site)


@pytest.fixture
def aggregator(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return server_context(enrolled(authority, tmp_path, "aggregator", Role.AGGREGATOR))


@pytest.fixture
def service(authority: Authority, tmp_path: Path) -> FakeService:
    return FakeService(authority, FileBlobStore(tmp_path / "aggregator"))


@pytest.fixture(params=[TlsListener, StockListener], ids=["own TLS", "stock TLS"])
def listener(request: pytest.FixtureRequest) -> type[Listener]:
    """The server's TLS: ours, and that of the event loop, over which everything has to work too."""
    kind: type[Listener] = request.param
    return kind


@pytest.fixture
def server(
    run: Run, service: FakeService, aggregator: ssl.SSLContext, listener: type[Listener]
) -> Iterator[HttpsServer]:
    limits = ConnectionLimits(connections=3, closing_s=0.05)
    server = HttpsServer(service, aggregator, "127.0.0.1", limits=limits, listener=listener)
    run(server.start())
    yield server
    run(server.close())


@pytest.fixture
def connect(run: Run, context: ssl.SSLContext) -> Iterator[Connect]:
    """Opens clients of a local port."""
    opened: list[HttpsUpstream] = []

    def connect(port: int, shown: ssl.SSLContext = context, **options: Any) -> HttpsUpstream:
        opened.append(HttpsUpstream(f"https://localhost:{port}", shown, **{"proxy": None} | options))
        return opened[-1]

    yield connect
    for upstream in opened:
        run(upstream.close())
