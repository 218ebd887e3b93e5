"""Signatures on receipts, and on the acknowledgement of an aggregator's restore."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from hanse.core.journal.receipts import RECEIPT, Receipt, read_receipt
from hanse.core.journal.restores import RESTORE, RestoreAcknowledgement, read_acknowledgement
from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import TrustError
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign, verify
from hanse.pki.signing_key import SigningKey, verify_statement


def sign_receipt(credentials: Credentials, receipt: Receipt) -> CertifiedStatement:
    """Sign a receipt with the aggregator's certificate."""
    body = receipt.model_dump(mode="json")
    return CertifiedStatement(body=body, **sign(credentials, RECEIPT, body).model_dump())


def verify_receipt(statement: CertifiedStatement, authority: x509.Certificate) -> Receipt:
    """Check that the aggregator of an authority's federation signed a receipt.

    The certificate has to have been valid when the receipt says that it was signed. That the authority
    issued the certificate is checked once for each.

    Returns:
        The receipt. Whether it is about what it should be is for the caller to check.

    Raises:
        ProtocolError: It is not a receipt.
        CredentialError: The certificate is foreign, or was not valid then.
        TrustError: The receipt was altered, or another party signed it.
    """
    receipt = read_receipt(statement.body)
    party = verify(statement, RECEIPT, statement.body, authority, _time(receipt.time_ms))
    if (party.federation, party.role) != (receipt.federation, Role.AGGREGATOR):
        raise TrustError(
            f"{party.uri} signed a receipt in the name of the aggregator of {receipt.federation}"
        )
    return receipt


def sign_acknowledgement(
    credentials: Credentials, key: SigningKey, acknowledgement: RestoreAcknowledgement
) -> CertifiedStatement:
    """Sign an operator's acknowledgement: with the signing key, and that in turn with the certificate.

    The signing key is what people know the operator by. The certificate lets a site, which has no list of
    operators' keys, see that an operator of the federation acknowledged the restore.
    """
    signed = key.sign(RESTORE, acknowledgement.model_dump(mode="json")).model_dump(mode="json")
    return CertifiedStatement(body=signed, **sign(credentials, RESTORE, signed).model_dump())


def verify_acknowledgement(
    statement: CertifiedStatement, authority: x509.Certificate
) -> tuple[RestoreAcknowledgement, str]:
    """Check that an operator acknowledged a restore.

    Returns:
        The acknowledgement, and the fingerprint of the operator's signing key.

    Raises:
        ProtocolError: It is malformed.
        CredentialError: The certificate is foreign, or was not valid when the acknowledgement was made.
        TrustError: No operator signed it, or it was altered.
    """
    acknowledgement, signed = read_acknowledgement(statement)
    party = verify(statement, RESTORE, statement.body, authority, _time(acknowledgement.time_ms))
    stated = Party(acknowledgement.federation, Role.OPERATOR, acknowledgement.operator)
    if party != stated:
        raise TrustError(f"{party.uri} signed the acknowledgement of a restore in the name of {stated.uri}")
    return acknowledgement, verify_statement(signed, RESTORE)


def _time(time_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise TrustError(f"{time_ms} ms is not a time at which a signature can have been made") from None
