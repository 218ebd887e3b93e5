"""A site without a certificate, over real TLS."""

from datetime import timedelta

import pytest
from tests.parties import NOW, FakeService, Run, new_authority

from hanse.assembly.joining import enrol, fetch_authority
from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.enrolment import Invitation, invite, read_token
from hanse.pki.key_statements import enrolment_of
from hanse.pki.signing_key import SigningKey
from hanse.transport.server.server import HttpsServer
from hanse.wire.messages.members import EnrolRequest


def invitation(authority: Authority, server: HttpsServer) -> Invitation:
    party = Party("north", Role.COLLABORATOR, "hospital-c")
    url = f"https://localhost:{server.port}"
    token = invite(authority, party, url, token_id="0" * 32, now=NOW, lifetime=timedelta(days=1))
    return read_token(token)


def test_the_authority_that_the_invitation_names_is_believed(
    run: Run, server: HttpsServer, authority: Authority
) -> None:
    pem = run(fetch_authority(invitation(authority, server), proxy=None))

    assert pem == pem_of(authority.certificate)


def test_another_authority_is_not_believed(run: Run, server: HttpsServer) -> None:
    elsewhere = new_authority()

    with pytest.raises(CredentialError, match="showed the authority"):
        run(fetch_authority(invitation(elsewhere, server), proxy=None))


ENROLMENT = enrolment_of(SigningKey.create(), Party("north", Role.COLLABORATOR, "hospital-a"))


def test_a_token_is_traded_for_a_certificate_and_never_logged(
    run: Run, server: HttpsServer, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    request = EnrolRequest(token="a secret token", csr="a request", enrolment=ENROLMENT)

    reply = run(enrol(f"https://localhost:{server.port}", service.authority_pem(), request, proxy=None))

    assert reply.certificate == "certificate"
    assert service.asked == [("enrol", "", request)]
    assert "secret" not in caplog.text


def test_a_token_is_not_shown_to_anybody_else(run: Run, server: HttpsServer, service: FakeService) -> None:
    elsewhere = pem_of(new_authority().certificate)
    request = EnrolRequest(token="a secret token", csr="a request", enrolment=ENROLMENT)

    with pytest.raises(CredentialError, match="cannot be trusted"):
        run(enrol(f"https://localhost:{server.port}", elsewhere, request, proxy=None))

    assert service.asked == []
