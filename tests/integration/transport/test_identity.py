"""Who may speak to whom, over real TLS."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.network import Relay, serving
from tests.parties import (
    DAY,
    NOW,
    PROGRESS,
    Connect,
    FakeService,
    Run,
    enrolled,
    new_authority,
)

from hanse.core.values.identity import Role
from hanse.errors import (
    CredentialError,
)
from hanse.pki.authority import Authority
from hanse.pki.tls import client_context, pinned_context, server_context
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer
from hanse.transport.server.tls.listener import TlsListener
from hanse.wire.messages.sites import NextRequest


def test_a_party_without_a_certificate_may_only_say_hello_and_enrol(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService
) -> None:
    nobody = connect(server.port, pinned_context(service.authority_pem()))

    assert run(nobody.hello()).federation == "north"
    with pytest.raises(CredentialError, match="asks for a certificate, and none was shown"):
        run(nobody.progress(PROGRESS))


@pytest.mark.parametrize("listener", [TlsListener], indirect=True)  # only our TLS does so
def test_a_stranger_learns_that_its_certificate_is_foreign(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, tmp_path: Path, caplog: Any
) -> None:
    stranger = enrolled(new_authority(), tmp_path, "stranger")
    shown = pinned_context(service.authority_pem())
    shown.load_cert_chain(stranger.directory / "party.crt", stranger.directory / "party.key")

    with pytest.raises(CredentialError, match="this party's certificate is from another authority"):
        run(connect(server.port, shown).progress(PROGRESS))

    assert "refused a TLS handshake" in caplog.text


def test_an_aggregator_of_another_federation_is_not_trusted(
    run: Run, server: HttpsServer, connect: Connect, tmp_path: Path
) -> None:
    elsewhere = enrolled(new_authority(), tmp_path)

    with pytest.raises(CredentialError, match="its certificate is from another authority"):
        run(connect(server.port, client_context(elsewhere)).hello())


@pytest.mark.parametrize("listener", [TlsListener], indirect=True)  # only our TLS does so
def test_a_party_whose_certificate_expired_is_told_so(
    run: Run, server: HttpsServer, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    late = enrolled(authority, tmp_path, "late", since=NOW - 5 * DAY)

    with pytest.raises(CredentialError, match="this party's certificate has expired"):
        run(connect(server.port, client_context(late)).progress(PROGRESS))


def test_an_aggregator_whose_certificate_expired_is_not_trusted(
    run: Run, connect: Connect, authority: Authority, service: FakeService, tmp_path: Path
) -> None:
    expired = enrolled(authority, tmp_path, "aggregator", Role.AGGREGATOR, since=NOW - 5 * DAY)
    server = HttpsServer(service, server_context(expired), "127.0.0.1")
    run(server.start())

    with pytest.raises(CredentialError, match="its certificate has expired"):
        run(connect(server.port).hello())
    run(server.close())


def test_an_aggregator_at_another_address_than_its_certificate_says_is_not_trusted(
    run: Run, server: HttpsServer, context: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with contextlib.AsyncExitStack() as stack:
            upstream = HttpsUpstream(f"https://127.0.0.2:{relay_port}", context, proxy=None)
            stack.push_async_callback(upstream.close)
            await upstream.hello()

    elsewhere = HttpsServer(server._service, server._ssl_context, "127.0.0.2")
    run(elsewhere.start())
    relay_port = elsewhere.port
    with pytest.raises(CredentialError, match="another IP address"):
        run(scenario())
    run(elsewhere.close())


def test_removal_takes_effect_on_a_connection_that_is_open(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService
) -> None:
    relay = Relay(server.port)

    async def scenario() -> None:
        async with serving(relay.pass_on) as port:
            upstream = connect(port)
            await upstream.progress(PROGRESS)
            service.removed.add("hospital-a")
            await upstream.progress(PROGRESS)

    with pytest.raises(CredentialError, match="hospital-a was removed"):
        run(scenario())
    assert relay.connections == 1


def test_a_renewed_certificate_is_shown_while_a_call_with_the_old_one_goes_on(
    run: Run,
    server: HttpsServer,
    connect: Connect,
    service: FakeService,
    authority: Authority,
    tmp_path: Path,
) -> None:
    upstream = connect(server.port)

    async def scenario() -> str:
        waiting = asyncio.create_task(upstream.next(NextRequest(known="1", wait_s=10)))
        await service.waiting.wait()
        upstream.set_ssl_context(client_context(enrolled(authority, tmp_path, "hospital-b")))
        await upstream.progress(PROGRESS)
        service.change()
        return (await waiting).version

    assert run(scenario()) == "11"
    assert service.asked == [("progress", "hospital-b", PROGRESS)]
