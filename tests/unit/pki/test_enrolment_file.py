"""A request that is carried by hand holds both: what the certificate is for, and the signing key."""

from __future__ import annotations

import pytest

from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError
from hanse.pki.enrolment import read_csr, request_certificate
from hanse.pki.enrolment_file import read_request, write_request
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey

PARTY = Party("north", Role.COLLABORATOR, "hospital-a")
KEY = new_key()
CSR = request_certificate(KEY, PARTY)
ENROLMENT = enrolment_of(SigningKey.create(), PARTY)


def test_a_request_comes_apart_into_what_it_was_made_of() -> None:
    csr, enrolment = read_request(write_request(CSR, ENROLMENT))

    assert read_csr(csr) == KEY.public_key()
    assert enrolment == ENROLMENT


def test_a_request_survives_the_line_ends_of_another_system() -> None:
    csr, enrolment = read_request(write_request(CSR, ENROLMENT).replace("\n", "\r\n"))

    assert read_csr(csr) == KEY.public_key()
    assert enrolment == ENROLMENT


def test_a_request_of_before_0_2_is_refused_with_the_remedy() -> None:
    with pytest.raises(CredentialError, match=r"states no signing key\. Make it again"):
        read_request(CSR)


@pytest.mark.parametrize("damage", ["?", "AAAA", "e30="])
def test_a_damaged_request_is_refused(damage: str) -> None:
    text = f"{CSR}-----BEGIN HANSE ENROLMENT-----\n{damage}\n-----END HANSE ENROLMENT-----\n"

    with pytest.raises(CredentialError, match="cannot be read"):
        read_request(text)
