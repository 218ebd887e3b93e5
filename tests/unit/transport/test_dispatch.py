import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parties import PROGRESS as REQUEST
from tests.parties import FakeService, Run, der, enrolled, new_authority

from hanse.core.identity import Role
from hanse.errors import ERRORS, CredentialError, HanseError, PolicyError, ProtocolError
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.dispatch import admit, answer, report, reported, written
from hanse.transport.routes import HELLO, NEXT, PROGRESS, ROUTES, AnyRoute
from hanse.wire.messages import MAX_MESSAGE, Hello, decode


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(new_authority(), FileBlobStore(tmp_path / "aggregator"))


async def unread() -> bytes:
    raise AssertionError("nothing is read from whoever is not admitted")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_party_may_ask_what_its_role_may(
    service: FakeService, tmp_path: Path, route: AnyRoute, role: Role
) -> None:
    certificate = der(enrolled(service.authority, tmp_path, "party", role))

    if not route.roles:
        assert admit(route, service, certificate) is None
    elif role in route.roles:
        party = admit(route, service, certificate)
        assert party is not None
        assert party.name == "party"
    else:
        with pytest.raises(PolicyError, match=f"{role}/party has another"):
            admit(route, service, certificate)


def test_nothing_is_read_from_whoever_shows_no_certificate(run: Run, service: FakeService) -> None:
    with pytest.raises(CredentialError, match="POST /v1/progress asks for a certificate"):
        run(answer(PROGRESS, service, None, {}, unread))


def test_nothing_is_read_from_whoever_was_removed(run: Run, service: FakeService, tmp_path: Path) -> None:
    service.removed.add("hospital-a")

    with pytest.raises(CredentialError, match="was removed"):
        run(answer(NEXT, service, der(enrolled(service.authority, tmp_path)), {}, unread))


def test_hello_asks_for_no_certificate(run: Run, service: FakeService) -> None:
    async def read() -> bytes:
        return b"{}"

    assert decode(Hello, run(answer(HELLO, service, None, {}, read))).federation == "north"


@given(st.sampled_from(sorted(ERRORS.values(), key=str)), st.text(), st.text())
def test_an_error_arrives_as_what_it_was(kind: type[HanseError], message: str, mend: str) -> None:
    arrived = reported(report(kind(message, mend=mend)))

    assert type(arrived) is kind
    assert (arrived.message, arrived.mend) == (message[:8_192], mend[:4_096])


def test_the_report_of_a_long_error_can_still_be_read() -> None:
    assert len(str(reported(report(HanseError("x" * 100_000, mend="y" * 100_000))))) < 15_000


def test_a_message_that_nobody_would_read_is_not_sent() -> None:
    assert json.loads(written(REQUEST)) == {"exchange": 1, "run_id": "demo-1"}
    with pytest.raises(ProtocolError, match=r"Hello of .* bytes is too long to send"):
        written(Hello(version="x" * MAX_MESSAGE, federation="north", time_ms=0))
