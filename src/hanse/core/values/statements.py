"""Signatures of parties, and the statements that they sign."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hanse.core.values.schema import Strict


class Signature(Strict):
    """A signature and the certificate to check it with; see `hanse.pki.signatures`.

    Attributes:
        certificate: The signer's certificate, PEM.
        signature: Over the canonical JSON of purpose and body: ECDSA P-256 with SHA-256 (DER)
            or Ed25519, as the certificate's key is; base64.
    """

    certificate: str = Field(max_length=16_384)
    signature: str = Field(max_length=1_024)


class CertifiedStatement(Signature):
    """A statement signed with the key of a certificate, as sites made them in 0.1.

    Attributes:
        body: What was stated, JSON.
        certificate: The signer's certificate, PEM.
        signature: Over the canonical JSON of purpose and body, base64.
    """

    body: dict[str, Any]


class SignedStatement(Strict):
    """A statement signed with the signing key of the party that made it; see `hanse.pki.signing_key`.

    Attributes:
        body: What was stated, JSON.
        key: The public key, SubjectPublicKeyInfo (DER), base64. To whom it belongs, a roster or the
            membership says, and not the statement.
        signature: Ed25519, over the canonical JSON of purpose and body, base64.
    """

    body: dict[str, Any]
    key: str = Field(max_length=256)
    signature: str = Field(max_length=256)


Statement = SignedStatement | CertifiedStatement
"""A statement as a journal may hold it."""
