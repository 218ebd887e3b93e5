"""A site's signed word: on a plan, and on what came of a task."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

from cryptography import x509

from hanse.core.values.identity import Party, Role
from hanse.core.values.schema import Strict
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import TrustError
from hanse.pki.certificates import read_certificate
from hanse.pki.signatures import verify
from hanse.pki.signing_key import SigningKey, verify_statement
from hanse.wire.messages.basics import decode_value
from hanse.wire.messages.sites import PlanAnswer, TaskOutcome

S = TypeVar("S", PlanAnswer, TaskOutcome)

_FOR_ITSELF = "A site can speak for itself only."


def state(key: SigningKey, purpose: str, body: Strict) -> SignedStatement:
    """Sign a message for one purpose."""
    return key.sign(purpose, body.model_dump(mode="json"))


def check_signed(
    statement: SignedStatement, kind: type[S], purpose: str, *, by: Party, keys: Collection[str]
) -> S:
    """Check that a party made a statement, and of itself.

    Args:
        statement: The statement.
        kind: The kind of its body.
        purpose: What the statement has to have been signed for.
        by: The party that the body has to speak of.
        keys: Fingerprints of the party's signing keys, of which one has to have signed it.

    Returns:
        The body.

    Raises:
        TrustError: The statement was altered, signed for another purpose or with another key, or it
            speaks of another party.
        ProtocolError: The body is malformed.
    """
    signer = verify_statement(statement, purpose)
    if signer not in keys:
        known = " or ".join(sorted(key[:16] for key in keys)) or "none"
        raise TrustError(
            f"the {purpose} of {by.uri} was signed with key {signer[:16]}, and the party's key is {known}",
            mend="Ask the party by telephone for the words of its signing key.",
        )
    return _spoken(statement, kind, purpose, by)


def check_certified(
    statement: CertifiedStatement,
    kind: type[S],
    purpose: str,
    *,
    by: Party,
    authority: x509.Certificate,
    at: datetime,
) -> S:
    """Check a statement of before 0.2, which was signed with the key of the party's certificate.

    Args:
        statement: The statement.
        kind: The kind of its body.
        purpose: What the statement has to have been signed for.
        by: The party that has to have signed it, and that the body has to speak of.
        authority: The certificate of the authority of the party's federation.
        at: When the statement was made; the party's certificate has to be valid then.

    Returns:
        The body.

    Raises:
        CredentialError: The certificate is foreign, or was not valid at `at`.
        TrustError: The statement was altered or signed for another purpose, another party
            made it, or it speaks of another party.
        ProtocolError: The body is malformed.
    """
    signer = verify(statement, purpose, statement.body, authority, at)
    if signer != by:
        raise TrustError(f"the {purpose} of {by.uri} was signed by {signer.uri}", mend=_FOR_ITSELF)
    return _spoken(statement, kind, purpose, by)


def issued(statement: CertifiedStatement, authority: x509.Certificate) -> datetime:
    """A time at which the certificate of a statement was valid.

    A past statement proves that it was made, whether the certificate has run out since or not.
    """
    begin = read_certificate(statement.certificate).not_valid_before_utc
    return max(begin, authority.not_valid_before_utc)


def _spoken(statement: SignedStatement | CertifiedStatement, kind: type[S], purpose: str, by: Party) -> S:
    body = decode_value(kind, statement.body)
    stated = Party(body.federation, Role.COLLABORATOR, body.site)
    if stated != by:
        raise TrustError(f"the {purpose} of {by.uri} speaks of {stated.uri}", mend=_FOR_ITSELF)
    return body
