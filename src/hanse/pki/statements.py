"""A site's signed word: on a plan, and on what came of a task."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509

from hanse.core.values.identity import Party, Role
from hanse.core.values.schema import Strict
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import TrustError
from hanse.pki.certificates import pem_of, read_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign, verify
from hanse.wire.messages.basics import decode_value
from hanse.wire.messages.sites import PlanAnswer, TaskOutcome

S = TypeVar("S", PlanAnswer, TaskOutcome)


def state(credentials: Credentials, purpose: str, body: Strict) -> CertifiedStatement:
    """Sign a message for one purpose."""
    return _signed(credentials, purpose, body.model_dump(mode="json"))


def restate(credentials: Credentials, purpose: str, statement: CertifiedStatement) -> CertifiedStatement:
    """The same statement, signed with the present certificate: that of a kept one may have run out."""
    if statement.certificate == pem_of(credentials.certificate):
        return statement
    return _signed(credentials, purpose, statement.body)


def check_statement(
    statement: CertifiedStatement,
    kind: type[S],
    purpose: str,
    *,
    by: Party,
    authority: x509.Certificate,
    at: datetime,
) -> S:
    """Check that a party made a statement, and of itself.

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
    body = decode_value(kind, statement.body)
    stated = Party(body.federation, Role.COLLABORATOR, body.site)
    if signer != by or stated != by:
        raise TrustError(
            f"the {purpose} of {by.uri} speaks of {stated.uri} and was signed by {signer.uri}",
            mend="A site can speak for itself only.",
        )
    return body


def check_own_at_any_time(
    credentials: Credentials, kind: type[S], purpose: str, statement: CertifiedStatement
) -> S:
    """As `check_statement` of the holder's own, whenever the certificate was valid.

    A past statement proves that it was made.

    Raises:
        TrustError: The statement was altered, or another party made it.
    """
    issued = read_certificate(statement.certificate).not_valid_before_utc
    at = max(issued, credentials.authority.not_valid_before_utc)
    return check_statement(
        statement, kind, purpose, by=credentials.party, authority=credentials.authority, at=at
    )


def _signed(credentials: Credentials, purpose: str, body: dict[str, Any]) -> CertifiedStatement:
    signature = sign(credentials, purpose, body)
    return CertifiedStatement(body=body, **signature.model_dump())
