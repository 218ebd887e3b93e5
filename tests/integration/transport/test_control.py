"""The operators' client against a real server."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.blobs import put
from tests.network import Relay, serving
from tests.parties import DATA, DIGEST, HALF, FakeService, Run, enrolled, record

from hanse.control.administration import Administration
from hanse.control.client import ControlClient
from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError, PolicyError, ProtocolError, RunError, TransportError
from hanse.pki.authority import Authority
from hanse.pki.key_statements import enrolment_of
from hanse.pki.signing_key import SigningKey
from hanse.pki.tls import client_context
from hanse.transport.client.connection import HttpsConnection
from hanse.transport.client.retry import Retry
from hanse.transport.server.server import HttpsServer
from hanse.wire.messages.members import InviteRequest, RemoveRequest, SignRequest
from hanse.wire.messages.runs import StopRequest, SubmitRequest


@pytest.fixture
def operator(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    return client_context(enrolled(authority, tmp_path, "op", Role.OPERATOR))


@pytest.fixture
def client(run: Run, server: HttpsServer, operator: ssl.SSLContext) -> Iterator[ControlClient]:
    client = ControlClient(f"https://localhost:{server.port}", operator, proxy=None)
    yield client
    run(client.close())


def test_runs_are_listed_shown_stopped_and_resumed(
    run: Run, client: ControlClient, service: FakeService
) -> None:
    assert [found.run_id for found in run(client.runs()).runs] == ["demo-1"]
    assert run(client.run("demo-1")).phase == "running"
    assert run(client.stop("demo-1", "enough")).phase == "stopped"
    assert run(client.resume("demo-1")).phase == "running"

    assert service.asked == [("stop", "demo-1", StopRequest(reason="enough")), ("resume", "demo-1", None)]


def test_a_reason_that_no_journal_can_hold_is_given_as_far_as_it_can(
    run: Run, client: ControlClient, service: FakeService
) -> None:
    run(client.stop("demo-1", "caf\udce9\n" + "x" * 2_000))

    ((_, _, asked),) = service.asked
    assert asked.reason.startswith(r"caf\udce9 xxx")
    assert len(asked.reason) == 1_000


def test_a_plan_is_uploaded_and_submitted(run: Run, client: ControlClient, service: FakeService) -> None:
    run(client.upload(DIGEST, DATA))
    run(client.submit(SubmitRequest(plan_digest=DIGEST)))

    assert service.blobs.path(DIGEST).read_bytes() == DATA
    assert service.asked == [("submit", "op", SubmitRequest(plan_digest=DIGEST))]


def test_members_are_invited_signed_and_removed(
    run: Run, server: HttpsServer, operator: ssl.SSLContext, service: FakeService
) -> None:
    asked, signed = (
        InviteRequest(name="hospital-c"),
        SignRequest(
            name="hospital-d",
            csr="a request",
            enrolment=enrolment_of(SigningKey.create(), Party("north", Role.COLLABORATOR, "hospital-d")),
        ),
    )

    async def scenario() -> None:
        async with HttpsConnection(f"https://localhost:{server.port}", operator, proxy=None) as connection:
            members = Administration(connection.call)
            assert (await members.invite(asked)).token == "a token"
            assert (await members.sign(signed)).certificate == "signed"
            assert await members.remove("hospital-a") == await members.members()

    run(scenario())
    removal = ("remove", "hospital-a", RemoveRequest())
    assert service.asked == [("invite", "op", asked), ("sign", "hospital-d", signed), removal]
    assert service.removed == {"hospital-a"}


@pytest.mark.parametrize("run_id", ["no-such-run", "..", "a/b", "?", "Ä"])
def test_a_run_that_is_not_there_is_an_error(run: Run, client: ControlClient, run_id: str) -> None:
    with pytest.raises((RunError, ProtocolError), match=r"there is no run|is not a request of this API"):
        run(client.run(run_id))


def test_only_operators_are_served(run: Run, server: HttpsServer, context: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with ControlClient(f"https://localhost:{server.port}", context, proxy=None) as client:
            await client.runs()

    with pytest.raises(PolicyError, match="is for the role operator"):
        run(scenario())


def test_following_gives_every_record_once_and_ends_with_the_run(
    run: Run, client: ControlClient, service: FakeService
) -> None:
    service.records = [record(number) for number in (1, 2, 3)]
    seen: list[int] = []

    async def scenario() -> None:
        async for reply in client.follow("demo-1"):
            seen.extend(found.sequence for found in reply.records)
            if len(seen) == 3 and service.phase == "running":
                service.records.append(record(4))
                service.phase = "finished"

    run(scenario())
    assert seen == [1, 2, 3, 4]


def test_following_goes_on_after_a_restart(
    run: Run,
    server: HttpsServer,
    service: FakeService,
    operator: ssl.SSLContext,
    authority: Authority,
) -> None:
    service.records = [record(1)]
    told: list[TransportError] = []

    async def scenario() -> list[int]:
        again = HttpsServer(service, server._ssl_context, "127.0.0.1", server.port)

        async def restart(delay_s: float) -> None:
            service.records.append(record(2))
            service.phase = "finished"
            await again.start()

        retry = Retry(sleep=restart, on_retry=lambda error, attempt, delay_s: told.append(error))
        seen = []
        async with ControlClient(
            f"https://localhost:{server.port}", operator, proxy=None, retry=retry
        ) as client:
            async for reply in client.follow("demo-1"):
                seen.extend(found.sequence for found in reply.records)
                if seen == [1]:
                    asyncio.get_running_loop().call_later(0.05, stop)
        await again.close()
        return seen

    closing: list[asyncio.Task[None]] = []

    def stop() -> None:
        closing.append(asyncio.create_task(server.close()))

    assert run(scenario()) == [1, 2]
    assert len(told) == 1


def test_an_operator_who_is_removed_is_told_while_following(
    run: Run, client: ControlClient, service: FakeService
) -> None:
    async def scenario() -> None:
        async for _ in client.follow("demo-1", after=1):
            service.removed.add("op")

    with pytest.raises(CredentialError, match="op was removed"):
        run(scenario())


def test_a_model_arrives_whole_over_a_broken_connection(
    run: Run, server: HttpsServer, service: FakeService, operator: ssl.SSLContext, tmp_path: Path
) -> None:
    put(service.blobs, DATA)
    path = tmp_path / "out" / "model.safetensors"
    path.parent.mkdir()
    relay = Relay(server.port, down=HALF)
    relay.cut.set()

    async def scenario() -> None:
        async with serving(relay.pass_on) as port:
            retry = Retry(attempts=2, uniform=lambda: 0.0)
            async with ControlClient(
                f"https://localhost:{port}", operator, proxy=None, retry=retry
            ) as client:
                await client.download(DIGEST, path)

    run(scenario())
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    assert relay.connections == 2


def test_a_journal_is_exported_to_a_file(
    run: Run, client: ControlClient, service: FakeService, tmp_path: Path
) -> None:
    service.export_path = tmp_path / "journal"
    service.export_path.write_bytes(DATA)

    run(client.export("demo-1", tmp_path / "exported.jsonl"))

    assert (tmp_path / "exported.jsonl").read_bytes() == DATA


def test_an_export_that_is_cut_off_leaves_the_earlier_file_and_nothing_else(
    run: Run, server: HttpsServer, service: FakeService, operator: ssl.SSLContext, tmp_path: Path
) -> None:
    service.export_path = tmp_path / "journal"
    service.export_path.write_bytes(DATA)
    path = tmp_path / "out" / "exported.jsonl"
    path.parent.mkdir()
    path.write_text("exported earlier")
    relay = Relay(server.port, down=HALF)
    relay.cut.set()

    async def scenario() -> None:
        async with serving(relay.pass_on) as port:
            once = Retry(attempts=1)
            async with ControlClient(f"https://localhost:{port}", operator, proxy=None, retry=once) as client:
                await client.export("demo-1", path)

    with pytest.raises(TransportError):
        run(scenario())
    assert path.read_text() == "exported earlier"
    assert list(path.parent.iterdir()) == [path]
