"""Certificate chains of DCAP: written one way, from the certificate of a named kind to the pinned root.

Intel SGX PCK Certificate and Certificate Revocation List Profile Specification, sections 1.3 and 1.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hanse.attestation.certificates import check_chain, read_chain
from hanse.errors import EvidenceError

PCK = "Intel SGX PCK Certificate"
PCK_CAS = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
"""Issuers of PCK certificates, with the names that their revocation lists go by."""
TCB_SIGNING = "Intel SGX TCB Signing"
_WIDTH = 64
"""Bytes of a raw ECDSA signature with P-256."""


def read_pem_chain(data: bytes, length: int, root: x509.Certificate, what: str) -> list[x509.Certificate]:
    """Read a chain of PEM certificates that ends in the pinned root; only zeros may follow it.

    Raises:
        EvidenceError: It is written another way than `cryptography` writes it, has another length, another
            root, or a key that is not P-256.
    """
    chain = read_chain(data, what)
    written = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    if data.rstrip(b"\0") not in (written, written[:-1]):
        raise EvidenceError(
            f"{what} is not written canonically: PEM with lines of 64 characters, and nothing between"
        )
    if len(chain) != length:
        raise EvidenceError(f"{what} has {len(chain)} certificates, and should have {length}")
    if chain[-1] != root:
        raise EvidenceError(
            f"{what} ends in another root ({common_name(chain[-1])}) than the pinned one",
            mend="Evidence of pre-production machines and simulators is not taken.",
        )
    for certificate in chain:
        _curve(certificate, what)
    return list(chain)


def check_signer(
    chain: Sequence[x509.Certificate],
    names: Sequence[str],
    at: datetime,
    revoked: Sequence[x509.CertificateRevocationList],
    what: str,
) -> datetime:
    """Check a chain whose first certificate has to have one of some names, and may not issue others.

    Returns:
        The end of the first certificate that ends.

    Raises:
        EvidenceError: It has another name, or the chain does not hold at that time.
    """
    check_chain(chain, chain[-1], at, what, revoked)
    name = common_name(chain[0])
    if name not in names:
        raise EvidenceError(f"{what}: its certificate is of {name!r}, and should be of {' or '.join(names)}")
    return min(certificate.not_valid_after_utc for certificate in chain)


def check_not_revoked(
    certificate: x509.Certificate, revoked: x509.CertificateRevocationList, what: str
) -> None:
    """Hold that a certificate is not in its issuer's revocation list.

    Raises:
        EvidenceError: It is.
    """
    if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        raise EvidenceError(
            f"{what}: certificate {common_name(certificate)} was revoked by its issuer",
            mend="The key of this machine counts for nothing: ask Intel or your provider.",
        )


def check_leaf(certificate: x509.Certificate, what: str) -> None:
    """Hold that a certificate is for signing, and not for issuing.

    Raises:
        EvidenceError: It is a CA's, or of a key that does not sign.
    """
    try:
        ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        ca, signs = True, False
    if ca or not signs:
        raise EvidenceError(f"{what}: its certificate should be for signatures, and not of an authority")


def common_name(certificate: x509.Certificate) -> str:
    """The common name of a certificate's subject; empty where there is not exactly one."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)[:64] if len(found) == 1 else ""


def check_signature(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, what: str) -> None:
    """Check a raw ECDSA signature, r and s, with P-256 and SHA-256.

    Raises:
        EvidenceError: It is not of that key over that data.
    """
    if len(signature) != _WIDTH:
        raise EvidenceError(f"{what} has {len(signature)} bytes, and should have {_WIDTH}")
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise EvidenceError(f"{what} is not valid: its data or signature was changed") from None


def key_of(certificate: x509.Certificate, what: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key of a certificate."""
    return _curve(certificate, what)


def read_point(point: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """A P-256 key from its point, x and y.

    Raises:
        EvidenceError: The point is not on the curve.
    """
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + point)
    except ValueError:
        raise EvidenceError(f"{what} is not a point of P-256") from None


def _curve(certificate: x509.Certificate, what: str) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EvidenceError(f"{what}: the key of {common_name(certificate)} is not P-256")
    return key
