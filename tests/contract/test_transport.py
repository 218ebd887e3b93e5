"""What an upstream promises, whatever carries the requests."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.blobs import put
from tests.in_memory_transport import MemoryUpstream
from tests.parties import DATA, DIGEST, HALF, FakeService, Run, der, enrolled, new_authority

from hanse.core.values.identity import Role
from hanse.core.values.statements import SignedStatement
from hanse.errors import (
    CredentialError,
    LateResultError,
    PolicyError,
    ProtocolError,
    StorageError,
    UpdateError,
)
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.tls import client_context, server_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.base import Upstream
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer
from hanse.transport.server.tls.listener import TlsListener
from hanse.transport.server.tls.stock import StockListener
from hanse.wire.messages.members import RenewRequest
from hanse.wire.messages.sites import AnswerRequest, NextRequest, ProgressRequest, ResultRequest

Connect = Callable[[Credentials], Upstream]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(authority: Authority, tmp_path: Path) -> Credentials:
    return enrolled(authority, tmp_path)


@pytest.fixture
def service(authority: Authority, tmp_path: Path) -> FakeService:
    return FakeService(authority, FileBlobStore(tmp_path / "aggregator"))


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "site")


@pytest.fixture(params=["https", "https over stock TLS", "memory"])
def connect(
    request: pytest.FixtureRequest, run: Run, service: FakeService, authority: Authority, tmp_path: Path
) -> Iterator[Connect]:
    """Connects parties to the service."""
    if request.param == "memory":
        yield lambda credentials: MemoryUpstream(service, der(credentials))
        return
    credentials = enrolled(authority, tmp_path, "aggregator", Role.AGGREGATOR)
    listener = TlsListener if request.param == "https" else StockListener
    server = HttpsServer(service, server_context(credentials), "127.0.0.1", listener=listener)
    run(server.start())
    opened: list[Upstream] = []

    def connect(credentials: Credentials) -> Upstream:
        url = f"https://localhost:{server.port}"
        opened.append(HttpsUpstream(url, client_context(credentials), proxy=None))
        return opened[-1]

    yield connect
    for upstream in opened:
        run(upstream.close())
    run(server.close())


@pytest.fixture
def upstream(connect: Connect, site: Credentials) -> Upstream:
    return connect(site)


def result(**body: Any) -> ResultRequest:
    return ResultRequest(statement=SignedStatement(body=body, key="AAAA", signature="signed"))


def test_hello_names_the_federation(run: Run, upstream: Upstream) -> None:
    assert run(upstream.hello()).federation == "north"


def test_a_request_reaches_the_service_as_it_was_sent(
    run: Run, upstream: Upstream, service: FakeService
) -> None:
    statement = SignedStatement(body={"é": [1, 2.5]}, key="AAAA", signature="signed")
    answer, progress = (
        AnswerRequest(run_id="demo-1", statement=statement),
        ProgressRequest(run_id="a", exchange=1),
    )

    run(upstream.answer(answer))
    run(upstream.progress(progress))

    assert service.asked == [("answer", "hospital-a", answer), ("progress", "hospital-a", progress)]


def test_a_renewed_certificate_comes_back(run: Run, upstream: Upstream) -> None:
    assert run(upstream.renew(RenewRequest(csr="request"))).certificate == "renewed"


def test_a_result_given_twice_is_known_as_a_duplicate(run: Run, upstream: Upstream) -> None:
    assert not run(upstream.result(result())).duplicate
    assert run(upstream.result(result())).duplicate


def test_what_the_service_refuses_is_raised_again_in_its_own_words(run: Run, upstream: Upstream) -> None:
    with pytest.raises(LateResultError) as caught:
        run(upstream.result(result(late=True)))

    assert str(caught.value) == "exchange 3 had closed. Go on with the next."


def test_waiting_for_work_ends_when_it_changes(run: Run, upstream: Upstream, service: FakeService) -> None:
    async def scenario() -> str:
        waiting = asyncio.create_task(upstream.next(NextRequest(known="1", wait_s=60)))
        await service.waiting.wait()
        service.change()
        return (await waiting).version

    assert run(scenario()) == "11"


def test_waiting_for_work_ends_in_time_where_nothing_changes(run: Run, upstream: Upstream) -> None:
    assert run(upstream.next(NextRequest(known="1", wait_s=0.01))).version == "1"


def test_whoever_is_removed_while_waiting_is_told_nothing(
    run: Run, upstream: Upstream, service: FakeService
) -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(upstream.next(NextRequest(known="1", wait_s=60)))
        await service.waiting.wait()
        service.removed.add("hospital-a")
        service.change()
        await waiting

    with pytest.raises(CredentialError, match="hospital-a was removed"):
        run(scenario())


def test_whoever_is_removed_may_not_even_fetch(
    run: Run, upstream: Upstream, service: FakeService, blobs: FileBlobStore
) -> None:
    put(service.blobs, DATA)
    service.removed.add("hospital-a")

    with pytest.raises(CredentialError, match="was removed"):
        run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=len(DATA)))


def test_work_is_for_collaborators_only(
    run: Run, connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    operator = connect(enrolled(authority, tmp_path, "op", Role.OPERATOR))

    with pytest.raises(PolicyError, match="collaborator"):
        run(operator.next(NextRequest()))


def test_a_message_that_is_too_long_is_refused(run: Run, upstream: Upstream) -> None:
    with pytest.raises(ProtocolError, match="too long"):
        run(upstream.result(result(text="x" * (1 << 20))))


@pytest.mark.parametrize("data", [DATA, b"", b"x"])
def test_a_blob_is_fetched(
    run: Run, upstream: Upstream, service: FakeService, blobs: FileBlobStore, data: bytes
) -> None:
    digest = put(service.blobs, data)

    path = run(upstream.fetch(digest, blobs, owner="a", max_bytes=len(data)))

    assert path == blobs.path(digest)
    assert path.read_bytes() == data


def test_a_blob_that_is_here_is_not_fetched_again(run: Run, upstream: Upstream, blobs: FileBlobStore) -> None:
    put(blobs, DATA)

    assert run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=len(DATA))) == blobs.path(DIGEST)


@pytest.mark.parametrize("there", [1, HALF, len(DATA)])
def test_fetching_goes_on_where_it_stopped(
    run: Run, upstream: Upstream, service: FakeService, blobs: FileBlobStore, there: int
) -> None:
    put(service.blobs, DATA)
    with closing(blobs.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(DATA[:there])

    path = run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=len(DATA)))

    assert path.read_bytes() == DATA


def test_fetching_begins_again_where_an_earlier_try_left_other_bytes(
    run: Run, upstream: Upstream, service: FakeService, blobs: FileBlobStore
) -> None:
    put(service.blobs, DATA)
    with closing(blobs.write(DIGEST, "a", len(DATA))) as writer:
        writer.write(b"\xff" * HALF)

    path = run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=len(DATA)))

    assert path.read_bytes() == DATA


def test_a_blob_larger_than_announced_is_not_fetched(
    run: Run, upstream: Upstream, service: FakeService, blobs: FileBlobStore
) -> None:
    put(service.blobs, DATA)

    with pytest.raises(ProtocolError, match=f"has {len(DATA)} bytes, and at most {HALF}"):
        run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=HALF))


def test_a_blob_that_is_nowhere_cannot_be_fetched(run: Run, upstream: Upstream, blobs: FileBlobStore) -> None:
    with pytest.raises(StorageError, match=DIGEST):
        run(upstream.fetch(DIGEST, blobs, owner="a", max_bytes=1))


@pytest.mark.parametrize("data", [DATA, b"", b"x"])
def test_a_file_is_delivered(
    run: Run, upstream: Upstream, service: FakeService, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "update"
    path.write_bytes(data)
    digest = sha256(data).hexdigest()

    run(upstream.deliver(digest, path))
    run(upstream.deliver(digest, path))

    assert service.blobs.path(digest).read_bytes() == data


@pytest.mark.parametrize("there", [1, HALF, len(DATA)])
def test_delivery_goes_on_where_it_stopped(
    run: Run, upstream: Upstream, service: FakeService, tmp_path: Path, there: int
) -> None:
    with closing(service.blobs.write(DIGEST, "hospital-a", len(DATA))) as writer:
        writer.write(DATA[:there])
    path = tmp_path / "update"
    path.write_bytes(b"\0" * there + DATA[there:])  # what is there already is not looked at again

    run(upstream.deliver(DIGEST, path))

    assert service.blobs.path(DIGEST).read_bytes() == DATA


def test_delivery_begins_again_where_an_earlier_try_left_other_bytes(
    run: Run, upstream: Upstream, service: FakeService, tmp_path: Path
) -> None:
    with closing(service.blobs.write(DIGEST, "hospital-a", len(DATA))) as writer:
        writer.write(b"\xff" * HALF)
    path = tmp_path / "update"
    path.write_bytes(DATA)

    run(upstream.deliver(DIGEST, path))

    assert service.blobs.path(DIGEST).read_bytes() == DATA


def test_a_file_that_is_not_what_its_digest_says_is_refused(
    run: Run, upstream: Upstream, service: FakeService, tmp_path: Path
) -> None:
    path = tmp_path / "update"
    path.write_bytes(b"something else")

    with pytest.raises(UpdateError, match="another content"):
        run(upstream.deliver(DIGEST, path))

    assert not service.blobs.has(DIGEST)
