"""What a certificate says, and whether to believe it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party
from hanse.core.values.peer import Peer
from hanse.errors import ConfigError, CredentialError
from hanse.files.atomic import MAX_BYTES, read_file
from hanse.pki.keys import PrivateKey, PublicKey, accepted

BACKDATING = timedelta(minutes=5)
"""How long before its making a certificate is valid, for machines whose clocks lag."""

_UNREADABLE = (
    ValueError,
    TypeError,  # this and the next: names with odd ASN.1 types, undocumented
    KeyError,
    UnsupportedAlgorithm,
    InternalError,  # what OpenSSL makes of some keys; meant for bugs, and yet raised on bad input
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MOST_REMEMBERED = 4_096
"""Certificates of which is remembered what they say, and that they were issued; neither changes."""
_JOIN_AGAIN = "Ask the federation's operator for a new invitation and join again."


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def read_certificate(pem: str | bytes) -> x509.Certificate:
    """Read a certificate from PEM.

    Raises:
        CredentialError: It is not a certificate, or has a key of a kind that no federation uses.
    """
    return _read(
        pem.encode(errors="replace") if isinstance(pem, str) else pem, x509.load_pem_x509_certificate
    )


def read_der(der: bytes) -> x509.Certificate:
    """Read a certificate from DER, as a TLS connection shows its peer's.

    Raises:
        CredentialError: As `read_certificate`.
    """
    return _read(der, x509.load_der_x509_certificate)


def load_certificate(path: Path) -> x509.Certificate:
    """Read a certificate from a PEM file.

    Raises:
        CredentialError: The file is missing, or as `read_certificate`.
    """
    try:
        return read_certificate(read_file(path))
    except CredentialError as error:
        raise CredentialError(f"{path}: {error.message}", mend=error.mend) from error


def pem_of(certificate: x509.Certificate) -> str:
    """The certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER, 64 hexadecimal characters.

    Good for pinning a certificate. To block a party, use its name:
    the holder can write the signature on the certificate in another form that is valid too.
    """
    return sha256(certificate.public_bytes(Encoding.DER))


def key_of(certificate: x509.Certificate) -> PublicKey:
    """The public key in a certificate that was read here."""
    return accepted(certificate.public_key())


def federation_of(authority: x509.Certificate) -> str:
    """Name of the federation whose authority this is.

    Raises:
        CredentialError: It is not an authority's certificate.
    """
    names = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not _is_authority(authority) or len(names) != 1:
        raise CredentialError(
            "this is not the certificate of a federation's authority",
            mend="Name the `ca.crt` that `hanse federation create` wrote.",
        )
    return str(names[0].value)


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def party_of(certificate: x509.Certificate) -> Party:
    """Read which party a certificate names, without believing it.

    Raises:
        CredentialError: It does not name exactly one party.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return Party.from_uri(uri)
    except (x509.ExtensionNotFound, ValueError, ConfigError):
        raise CredentialError(
            "the certificate does not name exactly one party of a federation", mend=_JOIN_AGAIN
        ) from None


def peer_of(certificate: x509.Certificate) -> Peer:
    """Read which peer shows a certificate, without believing the certificate.

    Raises:
        CredentialError: It does not name exactly one party.
    """
    end = certificate.not_valid_after_utc
    return Peer(party_of(certificate), fingerprint(certificate), int(end.timestamp() * 1000))


def check_pair(key: PrivateKey, certificate: x509.Certificate, key_path: Path) -> None:
    """Check that a certificate is for the key that lies beside it.

    Raises:
        CredentialError: It is for another.
    """
    if key.public_key() != key_of(certificate):
        raise CredentialError(
            f"{key_path} is not the key of the certificate beside it",
            mend="Restore both files from the same backup, or join again.",
        )


def verify_certificate(certificate: x509.Certificate, authority: x509.Certificate, now: datetime) -> Party:
    """Decide whether a federation's authority vouches for a certificate.

    Whether the party has been removed since is for the aggregator's allow list to say.

    Args:
        certificate: The party's certificate.
        authority: The certificate of the federation's authority.
        now: The moment to judge by; of a record, the time it was made.

    Returns:
        The party that the certificate names.

    Raises:
        CredentialError: It is foreign, forged, expired, not yet valid, or no party's.
    """
    party = _issued(certificate, authority)
    _check_time(authority, f"the certificate of the authority of {party.federation}", now)
    _check_time(certificate, f"the certificate of {party.uri}", now)
    return party


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> Party:
    """Whom an authority issued a certificate to, whenever it is good."""
    federation = federation_of(authority)
    party = party_of(certificate)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, InternalError):
        raise CredentialError(
            f"the certificate of {party.uri} was signed by another federation's authority, not by that "
            f"of {federation} ({fingerprint(authority)[:16]})",
            mend=_JOIN_AGAIN,
        ) from None
    if party.federation != federation or _is_authority(certificate):
        raise CredentialError(
            f"the certificate of {party.uri} is not one that {federation} gives a party", mend=_JOIN_AGAIN
        )
    return party


def _check_time(certificate: x509.Certificate, name: str, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise CredentialError(f"{name} expired on {end:%Y-%m-%d %H:%M} UTC", mend=_JOIN_AGAIN)
    if now < begin:
        raise CredentialError(
            f"{name} is not valid before {begin:%Y-%m-%d %H:%M}, and here it is "
            f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            mend="Is this machine's clock right? Set it, best by NTP.",
        )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _read(data: bytes, load: Callable[[bytes], x509.Certificate]) -> x509.Certificate:
    try:
        if len(data) > MAX_BYTES:
            raise ValueError("too long")
        certificate = load(data)
        # Fields are parsed when first asked for: ask here, so that nothing can fail later.
        key = certificate.public_key()
        _ = certificate.extensions, certificate.subject, certificate.issuer
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except _UNREADABLE as error:
        raise CredentialError("this is not a readable certificate", mend=_JOIN_AGAIN) from error
    accepted(key)
    return certificate
