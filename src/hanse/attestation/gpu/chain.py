"""Certificate chains of NVIDIA's GPUs, and their revocation lists as collateral.

A chain is: the key that signs reports, certified by the chip's boot ROM for the firmware that it measured;
the chip's identity key; NVIDIA's provisioner; the product's identity CA; NVIDIA Device Identity CA.

Collateral: `nvidia/crl/<file>` is a revocation list, DER or PEM, `<file>` the last part of the address that
a certificate of the chain names, such as `nvidia/crl/l1-root.crl` and `nvidia/crl/l2-gh100.crl`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hanse.attestation.base import Circumstances, Evidence
from hanse.attestation.certificates import check_chain, check_revocation_list, read_certificate
from hanse.errors import EvidenceError

LISTS = "nvidia/crl/"
_SHORTEST = 3
_FWID = ("2.23.133.5.4.1", "2.23.133.5.4.1.1")
"""Extensions of the TCG's DICE that state the firmware that a key was made for."""
_NO_END = 9999
"""Year of the end of certificates that have none (RFC 5280, section 4.1.2.5)."""


@dataclass(frozen=True, slots=True)
class GpuChain:
    """A chain that was checked.

    Attributes:
        key: The key that signs reports.
        leaf: Its certificate.
        name: Name of its certificate, such as `GH100 A01 GSP FMC LF`.
        chip: The product as its identity CA has it, such as `GH100`.
        machine: Serial number of the certificate of the chip's identity key, hexadecimal.
        unlisted: Names of revocation lists that the chain asks for and the collateral lacks.
        listed: Names of those that were looked at.
        expires: When a list, or a certificate, ends; None for never.
    """

    key: ec.EllipticCurvePublicKey
    leaf: x509.Certificate
    name: str
    chip: str
    machine: str
    unlisted: tuple[str, ...]
    listed: tuple[str, ...]
    expires: datetime | None


def check_gpu_chain(evidence: Evidence, root: x509.Certificate, given: Circumstances) -> GpuChain:
    """Check the chain that came with a report, up to the pinned root.

    Raises:
        EvidenceError: It is too short, ends in another root, or a certificate of it is not valid, not
            issued by the next, or revoked.
    """
    chain = [
        read_certificate(data, f"certificate {n} of the GPU evidence")
        for n, data in enumerate(evidence.certificates, 1)
    ]
    if chain and chain[-1].issuer == chain[-1].subject and chain[-1] != root:
        raise EvidenceError(
            f"GPU evidence: its chain ends in another root ({_name(chain[-1])}) than the pinned one"
        )
    if chain and chain[-1] == root:
        chain.pop()
    if len(chain) < _SHORTEST:
        raise EvidenceError(
            f"GPU evidence: {len(chain)} certificates below the root are too few for a chip's chain",
            mend="Give the whole chain that the driver gives with the report.",
        )
    lists, unlisted = _lists([*chain, root], given)
    check_chain(chain, root, given.at, "GPU evidence", [found for _, found in lists])
    leaf, key = chain[0], chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise EvidenceError("GPU evidence: the key that signs its report is not on the curve P-384")
    ends = [c.not_valid_after_utc for c in (*chain, root) if c.not_valid_after_utc.year < _NO_END]
    ends += [found.next_update_utc for _, found in lists if found.next_update_utc is not None]
    product = re.fullmatch(r"NVIDIA (\w+) Identity", _name(chain[-1]))
    return GpuChain(
        key=key,
        leaf=leaf,
        name=_name(leaf),
        chip=product[1] if product else _name(chain[-1]),
        machine=f"{chain[1].serial_number:x}",
        unlisted=tuple(unlisted),
        listed=tuple(name for name, _ in lists),
        expires=min(ends, default=None),
    )


def check_firmware_id(leaf: x509.Certificate, stated: bytes) -> None:
    """Hold that the key that signs a report was certified for the firmware that the report states.

    The extension is a TCG DICE structure of either form, whose `fwid` holds the digest as an OCTET STRING.

    Raises:
        EvidenceError: It was certified for another firmware.
    """
    if not stated:
        return
    wanted = bytes([0x04, len(stated) & 0xFF]) + stated
    for extension in leaf.extensions:
        value = extension.value
        if extension.oid.dotted_string in _FWID and isinstance(value, x509.UnrecognizedExtension):
            if wanted in value.value:
                return
            break
    raise EvidenceError(
        f"GPU report: its FWID {stated.hex()} is not that of the certificate of the key that signs it"
    )


def _lists(
    chain: Sequence[x509.Certificate], given: Circumstances
) -> tuple[list[tuple[str, x509.CertificateRevocationList]], list[str]]:
    """The revocation lists that a chain's certificates ask for, checked, and the names of missing ones."""
    found: list[tuple[str, x509.CertificateRevocationList]] = []
    missing: list[str] = []
    for certificate, issuer in pairwise(chain):
        name = _list_name(certificate)
        if not name:
            continue
        if name not in given.collateral:
            missing.append(name)
            continue
        read = check_revocation_list(given.collateral[name], issuer, given.at, f"collateral {name}")
        given.floors.check_issued(name, read.last_update_utc)
        found.append((name, read))
    return found, missing


def _list_name(certificate: x509.Certificate) -> str:
    """Name of the collateral with the list that a certificate asks for; empty where it asks for none."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ""
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                return LISTS + name.value.rsplit("/", 1)[-1]
    return ""


def _name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""
