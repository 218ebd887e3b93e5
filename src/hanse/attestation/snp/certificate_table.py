"""Certificates that a host gives with an SNP report: the `auxblob` of Linux's configfs-tsm.

AMD, SEV-ES Guest-Hypervisor Communication Block Standardization (56421), section 4.1.8.1, `cert_table`:
entries of 24 bytes with GUID, offset and length, up to one of zeros; then the certificates.
"""

from __future__ import annotations

from uuid import UUID

from hanse.attestation.base import MAX_LOG
from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

_NAMES = {
    UUID("63da758d-e664-4564-adc5-f4b93be8accd"): "VCEK",
    UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1"): "VLEK",
    UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"): "issuer",
    UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"): "ARK",
}
_MOST = 16
"""Entries."""


def read_certificate_table(data: bytes, signer: str) -> tuple[bytes, ...]:
    """Read a table: certificates for evidence, that of the key first; empty where the host gave none.

    Args:
        data: The table.
        signer: The key that signed the report, `VCEK` or `VLEK`: a table may have both.

    Raises:
        EvidenceError: The table is malformed.
    """
    if len(data) > MAX_LOG:
        raise EvidenceError(f"SNP certificate table: it has {len(data)} bytes, more than {MAX_LOG}")
    found: dict[str, bytes] = {}
    reader = Reader(data, "SNP certificate table")
    for _ in range(_MOST + 1):
        if not reader.left and not reader.at:
            return ()
        guid = UUID(bytes=reader.take(16, "GUID"))
        offset, length = reader.little(4, "offset"), reader.little(4, "length")
        if not guid.int:
            break
        certificate = Reader(data, "SNP certificate table", min(offset, len(data))).take(length, str(guid))
        name = _NAMES.get(guid, "")
        if name in found:
            raise EvidenceError(f"SNP certificate table: it has the certificate {name} twice")
        if name:
            found[name] = certificate
    else:
        raise EvidenceError(f"SNP certificate table: it has more than {_MOST} entries")
    if signer not in found:
        return ()
    chain = [found[signer]]
    for name in ("issuer", "ARK"):
        if name not in found:
            break
        chain.append(found[name])
    return tuple(chain)
