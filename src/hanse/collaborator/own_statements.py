"""Statements that a site finds again: in its folder, or with the aggregator."""

from __future__ import annotations

from collections.abc import Collection

from hanse.core.values.statements import CertifiedStatement, Statement
from hanse.pki.credentials import Credentials
from hanse.pki.statements import S, check_certified, check_signed, issued


def check_own(
    statement: Statement, kind: type[S], purpose: str, credentials: Credentials, keys: Collection[str]
) -> S:
    """Check that a site made a statement itself, whenever that was.

    Args:
        statement: The statement.
        kind: The kind of its body.
        purpose: What the statement has to have been signed for.
        credentials: The site's.
        keys: Fingerprints of the site's signing key and of those that it has replaced.

    Returns:
        The body.

    Raises:
        TrustError: The statement was altered, or another party made it.
        ProtocolError: The body is malformed.
    """
    by, authority = credentials.party, credentials.authority
    if isinstance(statement, CertifiedStatement):
        at = issued(statement, authority)
        return check_certified(statement, kind, purpose, by=by, authority=authority, at=at)
    return check_signed(statement, kind, purpose, by=by, keys=keys)
