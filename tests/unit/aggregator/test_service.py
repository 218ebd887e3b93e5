"""The service as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.federations import FederationFixture, now
from tests.parties import der

from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.transport.service import Service

Run = Callable[[Any], Any]


def test_every_request_is_served_as_it_was_promised(fixture: FederationFixture) -> None:
    promised = {name: method for name, method in vars(Service).items() if inspect.isfunction(method)}

    for name, method in promised.items():
        if not name.startswith("_"):
            served = getattr(fixture.service, name)
            assert inspect.iscoroutinefunction(served) == inspect.iscoroutinefunction(method), name
            assert (
                list(inspect.signature(served).parameters) == list(inspect.signature(method).parameters)[1:]
            ), name


def test_it_says_who_it_is(fixture: FederationFixture) -> None:
    hello = fixture.service.hello()

    assert hello.federation == "north"
    assert abs(hello.time_ms / 1000 - now().timestamp()) < 60
    assert fixture.service.authority_pem() == pem_of(fixture.authority.certificate)


def test_a_party_is_known_by_its_certificate(fixture: FederationFixture) -> None:
    assert fixture.service.admit(der(fixture.credentials["a"])) == fixture.peer("a")


def test_a_journal_is_sealed_with_the_renewed_certificate(fixture: FederationFixture, run: Run) -> None:
    key, party = new_key(), fixture.identity.party
    certificate = fixture.authority.issue(
        key.public_key(), party, now=now(), lifetime=timedelta(1), hosts=("localhost",)
    )
    renewed = Credentials(fixture.identity.directory, key, certificate, fixture.authority.certificate)

    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.submit()
            service.present(renewed)
            path = await service.run_requests.export(fixture.operator, run_id)
            assert pem_of(certificate).splitlines()[1] in path.read_text()

    run(main())
