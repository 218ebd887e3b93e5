"""Signatures on the deny lists of parties."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from cryptography import x509

from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import TrustError
from hanse.pki.certificates import read_certificate
from hanse.pki.signatures import verify
from hanse.pki.signing_key import verify_statement

DENY_LIST = "hanse deny list 1"
"""Purpose of the signature."""


def check_own_list(
    statement: SignedStatement | CertifiedStatement, own_keys: Callable[[], Collection[str]]
) -> None:
    """Check that a site signed its own list, with its signing key or one that it has replaced.

    Raises:
        TrustError: It did not.
    """
    if not isinstance(statement, SignedStatement):
        raise TrustError("it is not signed with a site's signing key")
    if (signer := verify_statement(statement, DENY_LIST)) not in own_keys():
        raise TrustError(f"key {signer[:16]} signed it, which is not this site's")


def check_aggregator_list(
    statement: SignedStatement | CertifiedStatement, authority: x509.Certificate
) -> None:
    """Check that the aggregator of an authority's federation signed its list.

    The certificate may have run out since: a list stays until it is extended.

    Raises:
        TrustError: It did not.
    """
    if not isinstance(statement, CertifiedStatement):
        raise TrustError("it is not signed with the aggregator's certificate")
    party = verify(statement, DENY_LIST, statement.body, authority, _issued(statement))
    if party.role is not Role.AGGREGATOR:
        raise TrustError(f"{party.uri} signed it")


def _issued(statement: CertifiedStatement) -> datetime:
    """A time at which the certificate was valid."""
    return read_certificate(statement.certificate).not_valid_before_utc
