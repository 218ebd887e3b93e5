"""Chains of device certificates to a pinned root, at a given time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning

from hanse.attestation.base import MAX_CERTIFICATES
from hanse.errors import EvidenceError

_CURVES = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS = range(2048, 4097)
_MOST_BYTES = 16 * 1024
_MOST_LIST = 1 << 20
"""Bytes of a revocation list."""


def read_certificate(data: bytes, what: str) -> x509.Certificate:
    """Read a certificate, DER or PEM, whose key is of a kind that is taken: P-256, P-384, RSA up to 4,096.

    Raises:
        EvidenceError: It is not one.
    """
    if len(data) > _MOST_BYTES:
        raise EvidenceError(f"{what} has {len(data)} bytes, more than {_MOST_BYTES}")
    try:
        with warnings.catch_warnings():
            # AMD's VCEK certificates have the serial number 0.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            pem = data.lstrip().startswith(b"-----BEGIN")
            certificate = (
                x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
            )
            key = certificate.public_key()
            # These are parsed only when asked for, with errors of their own.
            _ = certificate.extensions, certificate.subject, certificate.issuer
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise EvidenceError(f"{what} is not an X.509 certificate: {error}") from None
    except Exception as error:  # noqa: BLE001  UnsupportedAlgorithm and others of the parser, whose set is open
        raise EvidenceError(f"{what} cannot be read: {type(error).__name__}") from None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return certificate
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return certificate
    raise EvidenceError(
        f"{what} has a key of a kind that is not taken: P-256, P-384 and RSA of 2048 to 4096 bits are"
    )


def read_chain(data: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """Read a PEM file of certificates, the device's own first.

    Raises:
        EvidenceError: It holds none, too many, or something else besides.
    """
    end = b"-----END CERTIFICATE-----"
    blocks = data.split(end)
    *certificates, rest = blocks
    if rest.strip(b"\0 \r\n\t"):
        raise EvidenceError(f"{what}: something that is not a certificate follows its last one")
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise EvidenceError(
            f"{what} has {len(certificates)} certificates, and 1 to {MAX_CERTIFICATES} are taken"
        )
    return tuple(
        read_certificate(block.strip() + b"\n" + end + b"\n", f"certificate {n} of {what}")
        for n, block in enumerate(certificates, 1)
    )


def check_chain(
    chain: Sequence[x509.Certificate],
    root: x509.Certificate,
    at: datetime,
    what: str,
    revoked: Sequence[x509.CertificateRevocationList] = (),
) -> None:
    """Check a chain from a device's certificate up to a pinned root.

    Args:
        chain: The device's certificate first; with or without the root at its end.
        root: The root that is pinned. One that comes with the chain has to be this one.
        at: The time at which all of it has to be valid.
        what: Whose chain it is, for messages.
        revoked: Revocation lists, already checked by `check_revocation_list`, whose issuers' certificates
            are looked up in them.

    Raises:
        EvidenceError: A certificate is not valid at that time, was not issued by the next, may not issue,
            was revoked, or the end is not the root.
    """
    whole = [*chain] if chain and chain[-1] == root else [*chain, root]
    if len(whole) < 2:
        raise EvidenceError(f"{what}: there is no certificate below the root")
    for certificate in whole:
        name = certificate.subject.rfc4514_string()
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= at <= end:
            raise EvidenceError(
                f"{what}: certificate {name} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, not at "
                f"{at:%Y-%m-%d %H:%M}Z"
            )
    for above, (certificate, issuer) in enumerate(pairwise(whole)):
        _check_issued(certificate, issuer, above, what)
        for found in revoked:
            if found.issuer == certificate.issuer and found.get_revoked_certificate_by_serial_number(
                certificate.serial_number
            ):
                raise EvidenceError(
                    f"{what}: certificate {certificate.subject.rfc4514_string()} was revoked by its issuer",
                    mend="The key of this machine counts for nothing: ask its maker or your provider.",
                )


def check_revocation_list(
    data: bytes, issuer: x509.Certificate, at: datetime, what: str
) -> x509.CertificateRevocationList:
    """Read a revocation list, DER or PEM, and check that its issuer signed it and that it counts at a time.

    Raises:
        EvidenceError: It is malformed, not signed by that issuer, not yet valid, or expired.
    """
    if len(data) > _MOST_LIST:
        raise EvidenceError(f"{what} has {len(data)} bytes, more than {_MOST_LIST}")
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
        signed = found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        end, begin = found.next_update_utc, found.last_update_utc
    except Exception as error:  # noqa: BLE001  the set of errors of the parser is open
        raise EvidenceError(f"{what} is not a revocation list: {type(error).__name__}") from None
    if not signed or found.issuer != issuer.subject:
        raise EvidenceError(f"{what} is not signed by {issuer.subject.rfc4514_string()}")
    if begin > at or end is None or at > end:
        until = "without an end" if end is None else f"until {end:%Y-%m-%d}"
        raise EvidenceError(
            f"{what} counts from {begin:%Y-%m-%d} {until}, not at {at:%Y-%m-%d %H:%M}Z",
            mend="Fetch the current list.",
        )
    return found


def public_bytes(certificate: x509.Certificate) -> bytes:
    """The DER bytes of a certificate."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, above: int, what: str) -> None:
    """Check that one certificate issued another, `above` certificates up from the device's."""
    name, by = certificate.subject.rfc4514_string(), issuer.subject.rfc4514_string()
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        raise EvidenceError(f"{what}: certificate {name} was not issued by {by}") from None
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.ca:
        raise EvidenceError(f"{what}: certificate {by} may not issue others")
    if constraints.path_length is not None and above > constraints.path_length:
        raise EvidenceError(f"{what}: certificate {by} may not issue so long a chain")
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise EvidenceError(f"{what}: certificate {by} may not sign certificates")
