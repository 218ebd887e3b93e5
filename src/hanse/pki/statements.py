"""A site's signed word: on a plan, and on what came of a task."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hanse.core.values.schema import Strict
from hanse.core.values.statements import SignedStatement
from hanse.errors import TrustError
from hanse.pki.certificates import pem_of, read_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign, verify


def state(credentials: Credentials, purpose: str, body: Strict) -> SignedStatement:
    """Sign a message for one purpose."""
    return _signed(credentials, purpose, body.model_dump(mode="json"))


def restate(credentials: Credentials, purpose: str, statement: SignedStatement) -> SignedStatement:
    """The same statement, signed with the present certificate: that of a kept one may have run out."""
    if statement.certificate == pem_of(credentials.certificate):
        return statement
    return _signed(credentials, purpose, statement.body)


def check_own(credentials: Credentials, purpose: str, statement: SignedStatement, at: datetime) -> None:
    """Check that a statement read from disk is one that this site made.

    Raises:
        TrustError: It was altered, or another party made it.
    """
    party = verify(statement, purpose, statement.body, credentials.authority, at)
    if party != credentials.party:
        raise TrustError(f"the {purpose} was signed by {party.uri}, not by {credentials.party.uri}")


def check_own_at_any_time(credentials: Credentials, purpose: str, statement: SignedStatement) -> None:
    """As `check_own`, whenever the certificate was valid: a past statement proves that it was made.

    Raises:
        TrustError: It was altered, or another party made it.
    """
    issued = read_certificate(statement.certificate).not_valid_before_utc
    check_own(credentials, purpose, statement, max(issued, credentials.authority.not_valid_before_utc))


def _signed(credentials: Credentials, purpose: str, body: dict[str, Any]) -> SignedStatement:
    signature = sign(credentials, purpose, body)
    return SignedStatement(body=body, **signature.model_dump())
