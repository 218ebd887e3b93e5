"""A party's signed word on its instance: with a site's signing key, or the aggregator's certificate."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Role
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.errors import TrustError
from hanse.pki.certificates import key_of, read_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign, verify
from hanse.pki.signing_key import SigningKey, verify_statement
from hanse.wire.messages.evidence import INTRODUCTION, Introduction


def key_fingerprint(certificate: x509.Certificate) -> str:
    """Fingerprint of the key of a certificate: SHA-256 of the public key (DER), hexadecimal."""
    return sha256(key_of(certificate).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def introduce_site(key: SigningKey, introduction: Introduction) -> SignedStatement:
    """Sign for a site."""
    return key.sign(INTRODUCTION, introduction.model_dump(mode="json"))


def introduce_aggregator(credentials: Credentials, introduction: Introduction) -> CertifiedStatement:
    """Sign for an aggregator, with the key of its certificate."""
    body = introduction.model_dump(mode="json")
    return CertifiedStatement(body=body, **sign(credentials, INTRODUCTION, body).model_dump())


def check_site(statement: SignedStatement, expected: Introduction, key: str) -> None:
    """Check that a site introduced its instance.

    Args:
        statement: What the site sent.
        expected: What it has to state.
        key: Fingerprint of the site's signing key.

    Raises:
        TrustError: Another key signed it, or it states something else.
    """
    signer = verify_statement(statement, INTRODUCTION)
    if signer != key:
        raise TrustError(
            f"the {INTRODUCTION} of {expected.name} was signed with key {signer[:16]}, and the site's key is "
            f"{key[:16]}"
        )
    _check_body(statement, expected)


def check_aggregator(
    statement: CertifiedStatement, expected: Introduction, authority: x509.Certificate, at: datetime
) -> str:
    """Check that the aggregator of an authority's federation introduced its instance.

    Args:
        statement: What the aggregator sent.
        expected: What it has to state; its name is what the certificate says.
        authority: Certificate of the federation's authority.
        at: Now; the certificate has to be valid.

    Returns:
        Fingerprint of the aggregator's key.

    Raises:
        CredentialError: The certificate is foreign or expired.
        TrustError: Another party signed it, or it states something else.
    """
    party = verify(statement, INTRODUCTION, statement.body, authority, at)
    if (party.federation, party.role) != (expected.federation, Role.AGGREGATOR):
        raise TrustError(f"{party.uri} introduced itself as the aggregator of {expected.federation}")
    _check_body(statement, expected.model_copy(update={"name": party.name}))
    return key_fingerprint(read_certificate(statement.certificate))


def _check_body(statement: SignedStatement | CertifiedStatement, expected: Introduction) -> None:
    wanted = expected.model_dump(mode="json")
    other = sorted(name for name in wanted if statement.body.get(name) != wanted[name])
    if statement.body != wanted:
        raise TrustError(
            f"the {INTRODUCTION} of {expected.name} states another {', '.join(other) or 'field'} than what "
            "came with it or was asked"
        )
