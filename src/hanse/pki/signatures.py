"""Detached signatures over JSON, which anybody with the authority's certificate can check.

What is signed is the canonical JSON of purpose and body together, so that a
signature given for one purpose cannot serve another. The signer's certificate
travels along: an auditor needs no directory, and judges it by the time at
which the record was made, for certificates are short-lived.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from cryptography import x509

from hanse.core.values.identity import Party
from hanse.core.values.statements import Signature, signed_bytes
from hanse.errors import TrustError
from hanse.pki.certificates import key_of, pem_of, read_certificate, verify_certificate
from hanse.pki.credentials import Credentials
from hanse.pki.keys import check_signature, sign_bytes

_DISTRUST = "Do not use it; ask the party for what it signed."


def sign(credentials: Credentials, purpose: str, body: dict[str, Any]) -> Signature:
    """Sign a JSON object for one purpose.

    Raises:
        ValueError: `body` holds what JSON lacks, such as a NaN.
    """
    signature = sign_bytes(credentials.key, signed_bytes(purpose, body))
    encoded = base64.b64encode(signature).decode("ascii")
    return Signature(certificate=pem_of(credentials.certificate), signature=encoded)


def verify(
    signature: Signature, purpose: str, body: dict[str, Any], authority: x509.Certificate, at: datetime
) -> Party:
    """Check who signed a JSON object.

    Args:
        signature: What `sign` returned.
        purpose: What it has to have been signed for.
        body: What it has to have been signed over.
        authority: The certificate of the federation's authority.
        at: When the record was made; the certificate has to be valid then.

    Returns:
        The party that signed. Whether it was the one to sign is for the caller to check.

    Raises:
        CredentialError: The certificate is foreign, or was not valid at `at`.
        TrustError: The signature is over something else, or unreadable.
    """
    certificate = read_certificate(signature.certificate)
    party = verify_certificate(certificate, authority, at)
    try:
        raw, message = base64.b64decode(signature.signature, validate=True), signed_bytes(purpose, body)
    except ValueError as error:
        raise TrustError(
            f"what came as the {purpose} of {party.uri} cannot have been signed", mend=_DISTRUST
        ) from error
    try:
        check_signature(key_of(certificate), raw, message)
    except TrustError as error:
        raise TrustError(
            f"the {purpose} was altered, or {party.uri} did not sign it as such", mend=_DISTRUST
        ) from error
    return party
