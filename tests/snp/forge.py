"""SEV-SNP reports of the tests' own making: own roots, keys of chips and providers, every product."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.snp.vectors import NOW

from hanse.attestation.base import Evidence, Kind

ARC = "1.3.6.1.4.1.3704.1"
CHIP = bytes(range(64))
DATA = bytes(range(64, 128))
PROCESSORS = {"Milan": bytes((0x19, 0x01, 1)), "Genoa": bytes((0x19, 0x11, 1)), "Turin": bytes((0x1A, 2, 1))}
TCBS = {
    "Milan": bytes((3, 0, 0, 0, 0, 0, 8, 115)),
    "Genoa": bytes((7, 0, 0, 0, 0, 0, 14, 72)),
    "Turin": bytes((1, 2, 3, 4, 0, 0, 0, 75)),
}
ONE_HOUR = timedelta(hours=1)
_BEGIN, _END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """A key that issues certificates.

    Attributes:
        key: Its key.
        certificate: Its certificate.
    """

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate


@cache
def _rsa(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def chip_key() -> ec.EllipticCurvePrivateKey:
    """The key that signs forged reports."""
    return ec.generate_private_key(ec.SECP384R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _issue(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> x509.Certificate:
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_BEGIN).not_valid_after(_END)
    return builder.sign(key, SHA384(), rsa_padding=padding.PSS(padding.MGF1(SHA384()), 48))


@cache
def authority(common: str, above: str = "") -> Authority:
    """A certificate authority by its common name, issued by another one or by itself."""
    key = _rsa(common)
    issuer = authority(above) if above else Authority(key, None)  # type: ignore[arg-type]
    builder = x509.CertificateBuilder().subject_name(_name(common)).issuer_name(_name(above or common))
    builder = builder.public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(True, 0 if above else None), True)
    return Authority(key, _issue(builder, issuer.key))


def roots() -> dict[str, x509.Certificate]:
    """Own ARKs by product line, in the place of AMD's."""
    return {line: authority(f"ARK-{line}").certificate for line in PROCESSORS}


def issuer_of(signer: str, line: str) -> Authority:
    """The forged ASK or ASVK of a product line."""
    return authority(f"SEV-{line}" if signer == "VCEK" else f"SEV-VLEK-{line}", f"ARK-{line}")


def number(value: int) -> bytes:
    """A DER INTEGER."""
    content = value.to_bytes(2 if value > 0x7F else 1, "big")
    return bytes((2, len(content))) + content


def text(value: str) -> bytes:
    """A DER IA5String."""
    return bytes((0x16, len(value))) + value.encode()


def extensions(signer: str, line: str, tcb: bytes) -> dict[str, bytes]:
    """Extensions of a VCEK's or VLEK's certificate, by the end of their identifier."""
    names = ("9", "1", "2", "3") if line == "Turin" else ("1", "2")
    found = {f"3.{name}": number(level) for name, level in zip(names, tcb, strict=False)}
    if line != "Turin":
        found["3.3"] = number(tcb[6])
    found |= {"1": number(0), "2": text(f"{line}-B0"), "3.8": number(tcb[7])}
    size = 8 if line == "Turin" else 64
    return found | ({"4": CHIP[:size]} if signer == "VCEK" else {"5": text("Example Cloud")})


def key_certificate(
    signer: str, line: str, changed: dict[str, bytes | None] | None = None, subject: str = ""
) -> x509.Certificate:
    """The certificate of the key that signs forged reports.

    Args:
        signer: `VCEK` or `VLEK`.
        line: Product line.
        changed: Extensions by the end of their identifier that differ; None for one that is left out.
        subject: Another common name than the right one.
    """
    issuer = issuer_of(signer, line)
    builder = x509.CertificateBuilder().subject_name(_name(subject or f"SEV-{signer}"))
    builder = builder.issuer_name(issuer.certificate.subject).public_key(chip_key().public_key())
    for end, value in (extensions(signer, line, TCBS[line]) | (changed or {})).items():
        if value is not None:
            extension = x509.UnrecognizedExtension(ObjectIdentifier(f"{ARC}.{end}"), value)
            builder = builder.add_extension(extension, False)
    return _issue(builder, issuer.key)


def revocation_list(
    line: str, revoked: tuple[x509.Certificate, ...] = (), at: datetime = NOW, key: str = ""
) -> bytes:
    """A revocation list of an ARK, DER."""
    above = authority(f"ARK-{line}")
    builder = x509.CertificateRevocationListBuilder().issuer_name(above.certificate.subject)
    builder = builder.last_update(at - ONE_HOUR).next_update(at + ONE_HOUR)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(at - ONE_HOUR).build())
    signer = _rsa(key) if key else above.key
    pss = padding.PSS(padding.MGF1(SHA384()), 48)
    return builder.sign(signer, SHA384(), rsa_padding=pss).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Forged:
    """Settings of a forged report, which is right but for what is set.

    Attributes:
        line: Product line.
        version: Version of the layout.
        signer: `VCEK` or `VLEK`.
        policy: The guest policy.
        platform: PLATFORM_INFO.
        fields: Bytes at offsets that differ.
        certificates: Certificates that come along; the key's and its issuer's where None.
    """

    line: str = "Genoa"
    version: int = 5
    signer: str = "VCEK"
    policy: int = 1 << 17 | 1 << 16 | 0x0137
    platform: int = 0x21
    fields: dict[int, bytes] = field(default_factory=dict)
    certificates: tuple[bytes, ...] | None = None

    def but(self, **others: object) -> Forged:
        """The same with other settings."""
        return replace(self, **others)  # type: ignore[arg-type]

    def report(self) -> bytes:
        """The report, signed."""
        body = bytearray(0x2A0)
        chip = CHIP if self.line != "Turin" else CHIP[:8] + bytes(56)
        parts = {
            0x00: self.version.to_bytes(4, "little"),
            0x08: self.policy.to_bytes(8, "little"),
            0x34: b"\1",
            0x40: self.platform.to_bytes(8, "little"),
            0x48: bytes((0 if self.signer == "VCEK" else 4,)),
            0x50: DATA,
            0x90: bytes([0x90]) * 48,
            0xC0: bytes([0xC0]) * 32,
            0x1A0: chip,
            0x1E8: bytes((5, 55, 1, 0, 5, 55, 1)),
        }
        parts |= dict.fromkeys((0x38, 0x180, 0x1E0, 0x1F0), TCBS[self.line])
        if self.version >= 3:
            parts[0x188] = PROCESSORS[self.line]
        if self.version >= 5:
            parts |= {0x1F8: bytes((3,)), 0x200: bytes((7,))}
        for at, value in (parts | self.fields).items():
            body[at : at + len(value)] = value
        r, s = decode_dss_signature(chip_key().sign(bytes(body), ec.ECDSA(SHA384())))
        return bytes(body) + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)

    def evidence(self) -> Evidence:
        """The evidence."""
        certificates = self.certificates
        if certificates is None:
            chain = key_certificate(self.signer, self.line), issuer_of(self.signer, self.line).certificate
            certificates = tuple(certificate.public_bytes(Encoding.DER) for certificate in chain)
        return Evidence(Kind.SNP, self.report(), certificates)
