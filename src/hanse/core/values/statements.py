"""Signatures of parties, and the statements that they sign."""

from __future__ import annotations

import base64
import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.schema import Strict

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def _finite(body: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON parsers read and canonical JSON cannot write."""
    left: list[Any] = [body]
    while left:  # without recursion, however deep it is
        match value := left.pop():
            case float() if not math.isfinite(value):
                raise ValueError("a statement cannot hold an infinity or a NaN")
            case dict():
                left += value.values()
            case list() | tuple():
                left += value
            case _:
                pass
    return body


Body = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A statement itself: JSON without infinities."""


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

    body: Body


class SignedStatement(Strict):
    """A statement signed with the signing key of the party that made it; see `hanse.pki.signing_key`.

    Attributes:
        body: What was stated, JSON.
        key: The public key, SubjectPublicKeyInfo (DER), base64. To whom it belongs, a roster or the
            membership says, and not the statement.
        signature: Ed25519, over the canonical JSON of purpose and body, base64.
    """

    body: Body
    key: str = Field(max_length=256, pattern=_BASE64)
    signature: str = Field(max_length=256)

    @property
    def claimed_signer(self) -> str:
        """Fingerprint of the key that the statement carries; nothing is verified yet."""
        return sha256(base64.b64decode(self.key))


Statement = SignedStatement | CertifiedStatement
"""A statement as a journal may hold it."""


def signed_bytes(purpose: str, body: dict[str, Any]) -> bytes:
    """Message that a signature for one purpose covers: canonical JSON of purpose and body.

    Raises:
        ValueError: `body` holds what JSON lacks, such as a NaN.
    """
    return canonical_json({"purpose": purpose, "body": body})
