"""Signatures of a TPM (TPMT_SIGNATURE; TPM 2.0 library, part 2, section 11.3)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hanse.attestation.reading import Reader
from hanse.attestation.tpm.algorithms import ECDSA, RSAPSS, RSASSA, hash_of, in_words, read_sized
from hanse.attestation.tpm.public_area import PublicArea
from hanse.errors import EvidenceError

MAX_SIGNATURE = 600
"""Bytes of a signature; one of RSA 4096 takes 518."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature.

    Attributes:
        scheme: RSASSA, RSAPSS or ECDSA.
        hash: Its hash.
        value: The signature as `cryptography` takes it.
    """

    scheme: int
    hash: int
    value: bytes


def read_signature(data: bytes) -> Signature:
    """Read a TPMT_SIGNATURE, which nothing may follow.

    Raises:
        EvidenceError: It is malformed, or of a scheme that is not taken.
    """
    what = "signature of the TPM quote"
    if len(data) > MAX_SIGNATURE:
        raise EvidenceError(f"{what}: it has {len(data)} bytes, more than {MAX_SIGNATURE}")
    reader = Reader(data, what)
    scheme = reader.big(2, "scheme")
    if scheme not in (RSASSA, RSAPSS, ECDSA):
        raise EvidenceError(
            f"{what}: its scheme is {in_words(scheme)}, and RSASSA, RSAPSS and ECDSA are taken"
        )
    number = reader.big(2, "hash")
    hash_of(number, f"{what}: its hash")
    if scheme == ECDSA:
        r, s = (int.from_bytes(read_sized(reader, 48, name), "big") for name in ("r", "s"))
        value = encode_dss_signature(r, s)
    else:
        value = read_sized(reader, 512, "value")
    reader.end(b"")
    return Signature(scheme, number, value)


def check_signature(signature: Signature, data: bytes, by: PublicArea) -> None:
    """Hold that a key signed data by the scheme that it is bound to.

    Raises:
        EvidenceError: It did not.
    """
    if (signature.scheme, signature.hash) != (by.scheme, by.scheme_hash):
        raise EvidenceError(
            f"TPM quote: signed by {in_words(signature.scheme)} with {in_words(signature.hash)}, and its AK "
            f"is bound to {in_words(by.scheme)} with {in_words(by.scheme_hash)}"
        )
    algorithm = hash_of(signature.hash, "hash of the signature")
    try:
        if isinstance(by.key, ec.EllipticCurvePublicKey):
            by.key.verify(signature.value, data, ec.ECDSA(algorithm))
        else:
            by.key.verify(signature.value, data, _padding(signature), algorithm)
    except (InvalidSignature, ValueError):
        raise EvidenceError(
            "TPM quote: its signature is not that of the AK over these bytes",
            mend="Record quote, signature and public area of the AK together.",
        ) from None


def _padding(signature: Signature) -> padding.AsymmetricPadding:
    if signature.scheme == RSASSA:
        return padding.PKCS1v15()
    # TPMs take a salt as long as the digest, or the longest that fits (part 1, annex B.7).
    return padding.PSS(padding.MGF1(hash_of(signature.hash, "hash of the signature")), padding.PSS.AUTO)
