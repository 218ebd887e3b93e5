"""Certificates of the keys that sign SNP reports: VCEK, of one chip, and VLEK, of one cloud provider.

AMD, Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification (57230), chapter 3,
table of the certificate's extensions; the VLEK's have the provider's identifier instead of the chip's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from hanse.attestation.snp.tcb import components
from hanse.errors import EvidenceError

_ARC = "1.3.6.1.4.1.3704.1"
_PRODUCT, _HARDWARE, _PROVIDER = f"{_ARC}.2", f"{_ARC}.4", f"{_ARC}.5"
_LEVELS = {
    "bootloader": f"{_ARC}.3.1",
    "tee": f"{_ARC}.3.2",
    "snp": f"{_ARC}.3.3",
    "microcode": f"{_ARC}.3.8",
    "fmc": f"{_ARC}.3.9",
}
_NAMES = {"Milan": "Milan", "Genoa": "Genoa", "Bergamo": "Genoa", "Siena": "Genoa", "Turin": "Turin"}
"""Product lines, whose ARK counts, by product name."""
_HARDWARE_SIZE = {"Milan": 64, "Genoa": 64, "Turin": 8}
_CHIP_ID = 64
_INTEGER, _OCTET_STRING, _IA5_STRING = 0x02, 0x04, 0x16


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A key that signs reports, as AMD's certificate states it.

    Attributes:
        signer: `VCEK` or `VLEK`.
        product: Name and stepping of the product, such as `Milan-B0`.
        line: Product line: `Milan`, `Genoa` or `Turin`.
        levels: Security patch levels of the TCB that the key was derived for, by component.
        chip_id: The chip, 64 bytes, filled with zeros where its identifier is shorter; empty for a VLEK.
        provider: The cloud provider; empty for a VCEK.
        key: The public key.
    """

    signer: str
    product: str
    line: str
    levels: dict[str, int]
    chip_id: bytes
    provider: str
    key: ec.EllipticCurvePublicKey


def read_endorsement(certificate: x509.Certificate, signer: str) -> Endorsement:
    """Read what a certificate states; its chain is checked elsewhere.

    Args:
        certificate: The certificate.
        signer: The key that the report says it is signed with: `VCEK` or `VLEK`.

    Raises:
        EvidenceError: It is not a certificate of such a key, or an extension is missing or malformed.
    """
    what = f"{signer} certificate"
    if common_name(certificate.subject) != f"SEV-{signer}":
        raise EvidenceError(
            f"{what}: its subject is {common_name(certificate.subject)!r}, and should be 'SEV-{signer}'"
        )
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError(f"{what}: its key is not on the curve P-384")
    found = _extensions(certificate)
    product = _text(_needed(found, _PRODUCT, "product name", what), "product name", what)
    line = _NAMES.get(re.sub(r"-[A-Z][0-9]$", "", product))
    if line is None:
        raise EvidenceError(f"{what}: its product {product!r} is not known")
    levels = {
        name: _number(_needed(found, _LEVELS[name], f"level of {name}", what), name, what)
        for name in components(line)
    }
    chip_id, provider = b"", ""
    if signer == "VCEK":
        chip_id = _chip_id(_needed(found, _HARDWARE, "hardware id", what), _HARDWARE_SIZE[line], what)
    else:
        provider = _text(_needed(found, _PROVIDER, "provider", what), "provider", what)
    if (_PROVIDER if signer == "VCEK" else _HARDWARE) in found:
        raise EvidenceError(f"{what}: it names a chip and a provider, and should name one of them")
    return Endorsement(signer, product, line, levels, chip_id, provider, key)


def issuer_name(signer: str, line: str) -> str:
    """Common name of the certificate that issues a key's: ASK for VCEK, ASVK for VLEK."""
    return f"SEV-{line}" if signer == "VCEK" else f"SEV-VLEK-{line}"


def common_name(name: x509.Name) -> str:
    """The common name; empty where there is none, or several."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""


def _extensions(certificate: x509.Certificate) -> dict[str, bytes]:
    return {
        extension.oid.dotted_string: extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension) and _below(extension.oid)
    }


def _below(oid: ObjectIdentifier) -> bool:
    return oid.dotted_string.startswith(f"{_ARC}.")


def _needed(found: dict[str, bytes], oid: str, name: str, what: str) -> bytes:
    if oid not in found:
        raise EvidenceError(f"{what}: it does not state its {name} ({oid})")
    return found[oid]


def _number(value: bytes, name: str, what: str) -> int:
    """A DER INTEGER from 0 to 255, written the shortest way."""
    content = value[2:]
    canonical = content[:1] < b"\x80" and (len(content) == 1 or (len(content) == 2 and content[0] == 0))
    if value[:1] != bytes([_INTEGER]) or value[1:2] != bytes([len(content)]) or not content or not canonical:
        raise EvidenceError(f"{what}: its level of {name} is {value.hex()}, not a number from 0 to 255")
    number = int.from_bytes(content, "big")
    if len(content) == 2 and number < 0x80:
        raise EvidenceError(f"{what}: its level of {name} is {value.hex()}, not the shortest way to write it")
    return number


def _text(value: bytes, name: str, what: str) -> str:
    """A DER IA5String of at most 127 printable characters."""
    content = value[2:]
    printable = all(0x20 <= byte < 0x7F for byte in content)
    if value[:1] != bytes([_IA5_STRING]) or value[1:2] != bytes([len(content) & 0x7F]) or not content:
        raise EvidenceError(f"{what}: its {name} is not a text (IA5String)")
    if len(content) > 0x7F or not printable:
        raise EvidenceError(f"{what}: its {name} is not a short printable text")
    return content.decode("ascii")


def _chip_id(value: bytes, size: int, what: str) -> bytes:
    """The identifier: AMD writes the bare bytes, without the tag of an OCTET STRING; either is read."""
    if len(value) == size + 2 and value[:2] == bytes([_OCTET_STRING, size]):
        value = value[2:]
    if len(value) != size:
        raise EvidenceError(f"{what}: its hardware id has {len(value)} bytes, and should have {size}")
    return value.ljust(_CHIP_ID, b"\0")
