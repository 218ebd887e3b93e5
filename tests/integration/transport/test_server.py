"""What a server tells, logs and bears."""

import asyncio
import errno
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.parties import (
    DATA,
    DIGEST,
    PROGRESS,
    Connect,
    FakeService,
    Run,
)

from hanse import fault_points
from hanse.errors import (
    ConfigError,
    CredentialError,
    HanseError,
    StorageError,
    TransportError,
)
from hanse.fault_points import Facts, FaultPoint
from hanse.transport.server.server import HttpsServer
from hanse.transport.server.tls import listener
from hanse.transport.server.tls.listener import TlsListener
from hanse.wire.messages.members import RenewRequest
from hanse.wire.messages.sites import NextRequest


def test_what_nobody_foresaw_is_logged_and_not_told(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, caplog: Any
) -> None:
    service.failing = RuntimeError("the secret")

    with pytest.raises(HanseError, match=r"internal error [0-9a-f]{8}") as caught:
        run(connect(server.port).progress(PROGRESS))

    assert "secret" not in str(caught.value)
    assert "RuntimeError: the secret" in caplog.text
    assert str(caught.value).split(".")[0] in caplog.text


def test_a_request_has_a_point_before_it_is_served_and_one_after(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[FaultPoint, Facts, int]] = []

    class Log:
        async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
            heard.append((point, facts, len(service.asked)))

    monkeypatch.setattr(fault_points, "observer", Log())

    run(connect(server.port).progress(PROGRESS))

    facts = {"method": "POST", "path": "/v1/progress", "party": "hospital-a"}
    assert heard == [(FaultPoint.BEFORE_REQUEST, facts, 0), (FaultPoint.AFTER_REQUEST, facts, 1)]


def test_a_refusal_is_logged_with_who_and_why_and_nothing_secret(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, caplog: Any
) -> None:
    service.removed.add("hospital-a")

    with pytest.raises(CredentialError), caplog.at_level(logging.DEBUG):
        run(connect(server.port).renew(RenewRequest(csr="the request")))

    (line,) = [line for line in caplog.records if line.name == "hanse.transport.server.replies"]
    assert line.party == "hanse://north/collaborator/hospital-a"
    assert (line.method, line.path, line.error) == ("POST", "/v1/renew", "credential")
    assert "hospital-a was removed" in line.getMessage()
    assert "the request" not in caplog.text


def test_a_disk_that_is_full_halfway_is_told_in_words(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService, tmp_path: Path
) -> None:
    class FullAfterAPiece:
        offset = 0

        def write(self, data: bytearray) -> None:
            if self.offset:
                raise StorageError("cannot write: No space left on device", mend="Free some space.")
            self.offset += len(data)

        def close(self) -> None:
            pass

    service.blob_to_take = lambda *_: FullAfterAPiece
    path = tmp_path / "update"
    path.write_bytes(DATA)

    with pytest.raises(StorageError, match="No space left on device"):
        run(connect(server.port).deliver(DIGEST, path))


@pytest.mark.parametrize("listener", [TlsListener], indirect=True)  # only our TLS does so
def test_a_connection_too_many_is_turned_away(run: Run, server: HttpsServer, connect: Connect) -> None:
    async def scenario() -> None:
        for _ in range(3):
            await connect(server.port).hello()
        with pytest.raises(TransportError, match="hung up at once"):
            await connect(server.port).hello()

    run(scenario())


def test_two_servers_cannot_have_one_port(
    run: Run, server: HttpsServer, service: FakeService, aggregator: ssl.SSLContext
) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on port {server.port}"):
        run(HttpsServer(service, aggregator, "127.0.0.1", server.port).start())


def test_a_server_closes_without_waiting_for_long_polls(
    run: Run, server: HttpsServer, connect: Connect, service: FakeService
) -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(connect(server.port).next(NextRequest(known="1", wait_s=60)))
        await service.waiting.wait()
        async with asyncio.timeout(2):
            await server.close()
            await waiting

    with pytest.raises(TransportError, match="was cut"):
        run(scenario())


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_every_address_is_one_of_ipv6_and_of_ipv4(run: Run, service: FakeService, context: Any) -> None:
    async def main() -> set[int]:
        server = HttpsServer(service, context, "::")
        await server.start()
        try:
            families = set()
            for host in ("127.0.0.1", "::1"):
                _, writer = await asyncio.open_connection(host, server.port)
                families.add(writer.get_extra_info("socket").family)
                writer.close()
            return families
        finally:
            await server.close()

    assert run(main()) == {socket.AF_INET, socket.AF_INET6}


def test_a_machine_without_ipv6_is_listened_on_all_the_same(
    run: Run, service: FakeService, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = listener._listening

    def without_ipv6(family: int, address: tuple[object, ...]) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return listening(family, address)

    async def main() -> None:
        server = HttpsServer(service, context, "::")
        await server.start()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        await server.close()

    monkeypatch.setattr(listener, "_listening", without_ipv6)
    run(main())
