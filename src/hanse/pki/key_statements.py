"""Statements of a party about its own signing key: when it enrols, and when it rotates the key."""

from __future__ import annotations

from pydantic import ValidationError

from hanse.core.journal.signing_keys import ENROLMENT, KEY_ROTATION, KeyStatement
from hanse.core.values.identity import Party
from hanse.core.values.schema import problem_of
from hanse.core.values.statements import SignedStatement
from hanse.errors import TrustError
from hanse.pki.signing_key import SigningKey, fingerprint_of, verify_statement


def enrolment_of(key: SigningKey, party: Party) -> SignedStatement:
    """State a party's signing key, signed with that key: it shows that the party has the key."""
    return key.sign(ENROLMENT, _statement(key, party))


def rotation_of(old: SigningKey, new: SigningKey, party: Party) -> SignedStatement:
    """State a party's new signing key, signed with the old one."""
    return old.sign(KEY_ROTATION, _statement(new, party))


def check_enrolment(statement: SignedStatement, party: Party) -> str:
    """Check that a party states a signing key of its own.

    Returns:
        Fingerprint of the key.

    Raises:
        TrustError: It was signed with another key than the one that it states, or is another party's.
    """
    signer = verify_statement(statement, ENROLMENT)
    if signer != _stated(statement, party, ENROLMENT):
        raise TrustError(f"the signing key of {party.uri} is not signed with itself")
    return signer


def check_rotation(statement: SignedStatement, party: Party) -> tuple[str, str]:
    """Check that one signing key of a party signs the next.

    Returns:
        Fingerprints of the old key and of the new one.

    Raises:
        TrustError: The statement was altered, or is another party's.
    """
    return verify_statement(statement, KEY_ROTATION), _stated(statement, party, KEY_ROTATION)


def _statement(key: SigningKey, party: Party) -> dict[str, str]:
    body = KeyStatement(federation=party.federation, role=party.role, name=party.name, key=key.public)
    stated: dict[str, str] = body.model_dump(mode="json")
    return stated


def _stated(statement: SignedStatement, party: Party, purpose: str) -> str:
    """Fingerprint of the key that a party states."""
    try:
        body = KeyStatement.model_validate(statement.body)
    except ValidationError as error:
        raise TrustError(f"what came as a {purpose} is malformed: {problem_of(error)}") from None
    if Party(body.federation, body.role, body.name) != party:
        named = Party(body.federation, body.role, body.name)
        raise TrustError(
            f"a {purpose} of {party.uri} speaks of {named.uri}", mend="A party can speak for itself only."
        )
    return fingerprint_of(body.key)
