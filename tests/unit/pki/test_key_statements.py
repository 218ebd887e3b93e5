"""A party states its own signing key, and the old key the new one."""

from __future__ import annotations

import pytest

from hanse.core.journal.signing_keys import ENROLMENT, KEY_ROTATION
from hanse.core.values.identity import Party, Role
from hanse.errors import TrustError
from hanse.pki.key_statements import check_enrolment, check_rotation, enrolment_of, rotation_of
from hanse.pki.signing_key import SigningKey

PARTY = Party("north", Role.COLLABORATOR, "hospital-a")
OTHERS = [
    Party("north", Role.COLLABORATOR, "hospital-b"),
    Party("south", Role.COLLABORATOR, "hospital-a"),
    Party("north", Role.OPERATOR, "hospital-a"),
]


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.create()


@pytest.fixture(scope="module")
def new() -> SigningKey:
    return SigningKey.create()


def test_an_enrolment_gives_the_fingerprint_of_the_key(key: SigningKey) -> None:
    assert check_enrolment(enrolment_of(key, PARTY), PARTY) == key.fingerprint


def test_nobody_enrols_a_key_of_another(key: SigningKey, new: SigningKey) -> None:
    stolen = new.sign(ENROLMENT, enrolment_of(key, PARTY).body)

    with pytest.raises(TrustError, match="is not signed with itself"):
        check_enrolment(stolen, PARTY)


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_an_enrolment_is_of_one_party_alone(key: SigningKey, other: Party) -> None:
    with pytest.raises(TrustError, match=f"speaks of {PARTY.uri}"):
        check_enrolment(enrolment_of(key, PARTY), other)


def test_a_rotation_gives_the_old_key_and_the_new_one(key: SigningKey, new: SigningKey) -> None:
    assert check_rotation(rotation_of(key, new, PARTY), PARTY) == (key.fingerprint, new.fingerprint)


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_a_rotation_is_of_one_party_alone(key: SigningKey, new: SigningKey, other: Party) -> None:
    with pytest.raises(TrustError, match=f"speaks of {PARTY.uri}"):
        check_rotation(rotation_of(key, new, PARTY), other)


def test_an_enrolment_is_no_rotation(key: SigningKey) -> None:
    with pytest.raises(TrustError, match="did not sign it as such"):
        check_rotation(enrolment_of(key, PARTY), PARTY)


@pytest.mark.parametrize("body", [{}, {"key": "AAAA"}])
def test_a_malformed_statement_is_refused(key: SigningKey, body: dict[str, str]) -> None:
    with pytest.raises(TrustError, match="is malformed"):
        check_enrolment(key.sign(ENROLMENT, body), PARTY)
    with pytest.raises(TrustError, match="is malformed"):
        check_rotation(key.sign(KEY_ROTATION, body), PARTY)


def test_a_key_that_is_none_is_refused(key: SigningKey) -> None:
    body = enrolment_of(key, PARTY).body | {"key": "AAAA"}

    with pytest.raises(TrustError, match="cannot be read"):
        check_enrolment(key.sign(ENROLMENT, body), PARTY)
