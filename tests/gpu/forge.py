"""GPU reports of the tests' own making, with an own chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.gpu.vectors import NONCE, NOW

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.gpu.verifier import MODE

NAMES = (
    "GB100 A01 FSP",
    "GB100 A01 BROM",
    "NVIDIA GB100 Provisioner ICA 1",
    "NVIDIA GB100 Identity",
    "NVIDIA Device Identity CA",
)
LISTS = {3: "http://crl.example/crl/l1-root.crl", 2: "http://crl.example/crl/l2-gb100.crl"}
FIRMWARE = bytes(range(48))
ONE_HOUR = timedelta(hours=1)


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """The key of a name."""
    return ec.generate_private_key(ec.SECP384R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@cache
def certificate(place: int) -> x509.Certificate:
    """A certificate of the chain, by its place from the key that signs reports up to the root."""
    above = min(place + 1, len(NAMES) - 1)
    builder = x509.CertificateBuilder().subject_name(_name(NAMES[place])).issuer_name(_name(NAMES[above]))
    builder = builder.public_key(key(NAMES[place]).public_key()).serial_number(0x100 + place)
    builder = builder.not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    if place:
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    else:
        dice = x509.UnrecognizedExtension(ObjectIdentifier("2.23.133.5.4.1"), b"\x30\x32\x04\x30" + FIRMWARE)
        builder = builder.add_extension(dice, False)
    if place in LISTS:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(LISTS[place])], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
    return builder.sign(key(NAMES[above]), SHA384())


def root() -> x509.Certificate:
    """Own root, in the place of NVIDIA's."""
    return certificate(4)


def revocation_list(place: int, revoked: bool = False, at: datetime = NOW) -> bytes:
    """The list that may revoke the certificate of a place."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(certificate(place).issuer)
    builder = builder.last_update(at - ONE_HOUR).next_update(at + ONE_HOUR)
    if revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate(place).serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(at - ONE_HOUR).build())
    return builder.sign(key(NAMES[place + 1]), SHA384()).public_bytes(Encoding.DER)


def field_of(kind: int, value: bytes) -> bytes:
    """A field of the opaque data."""
    return kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def block(index: int, value: bytes, specification: int = 1) -> bytes:
    """A measurement block."""
    content = b"\1" + len(value).to_bytes(2, "little") + value
    return bytes((index, specification)) + len(content).to_bytes(2, "little") + content


@dataclass(frozen=True)
class Forged:
    """Settings of a forged report, which is right but for what is set.

    Attributes:
        request: The first four bytes of the request.
        response: The first four bytes of the response.
        record: Measurement blocks.
        count: Number of blocks that is stated.
        opaque: The opaque data.
        mode: The mode that is recorded with it; None for none.
    """

    request: bytes = b"\x11\xe0\x01\xff"
    response: bytes = b"\x11\x60\x00\x00"
    record: bytes = block(1, b"\x0a" * 48) + block(2, b"\x0b" * 48)
    count: int = 2
    opaque: bytes = field(
        default=field_of(3, b"570.1\0") + field_of(20, FIRMWARE) + field_of(36, b"\1\0\0\0")
    )
    mode: bytes | None = b"on"

    def report(self) -> bytes:
        """The report, signed."""
        body = self.request + NONCE + b"\0" + self.response
        body += bytes((self.count,)) + len(self.record).to_bytes(3, "little") + self.record + bytes(32)
        body += len(self.opaque).to_bytes(2, "little") + self.opaque
        r, s = decode_dss_signature(key(NAMES[0]).sign(body, ec.ECDSA(SHA384())))
        return body + r.to_bytes(48, "big") + s.to_bytes(48, "big")

    def evidence(self) -> Evidence:
        """The evidence, with its chain without the root."""
        chain = tuple(certificate(place).public_bytes(Encoding.DER) for place in range(4))
        return Evidence(Kind.GPU, self.report(), chain, {} if self.mode is None else {MODE: self.mode})
