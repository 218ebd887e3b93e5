from pathlib import Path

import pytest
from tests.parties import FakeService, Run, der, enrolled, new_authority

from hanse.core.values.identity import Role
from hanse.errors import CredentialError, PolicyError
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.api.common_routes import HELLO
from hanse.transport.api.dispatch import admit, answer
from hanse.transport.api.route import AnyRoute
from hanse.transport.api.routes import ROUTES
from hanse.transport.api.site_routes import NEXT, PROGRESS
from hanse.wire.messages.basics import Hello, decode


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
        peer = admit(route, service, certificate)
        assert peer is not None
        assert peer.party.name == "party"
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
