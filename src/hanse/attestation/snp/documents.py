"""Collateral of SNP reports: documents as AMD's key distribution service gives them, by name.

| name | document |
| --- | --- |
| `amd/vcek/Genoa/cert_chain` | ASK and ARK of VCEKs of Genoa, PEM; needed where the evidence lacks the ASK |
| `amd/vlek/Genoa/cert_chain` | ASVK and ARK of VLEKs |
| `amd/vcek/Genoa/crl` | revocation list of the ARK, DER or PEM; a policy says whether it is needed |
| `amd/vlek/Genoa/crl` | the same, as the service gives it for VLEKs |
| `amd/vcek/Genoa/<chip id>/<reported TCB>` | VCEK of a chip, DER, where the evidence has none |

The name is the path below `kdsintf.amd.com`, without the version, and with the query's levels written as the
8 bytes of the report. Nothing of them expires but revocation lists and, years later, VCEKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from hanse.attestation.base import CheckedCollateral, Circumstances, Floors
from hanse.attestation.certificates import (
    check_chain,
    check_revocation_list,
    read_certificate,
    read_chain,
)
from hanse.attestation.snp.endorsement import common_name, issuer_name, read_endorsement
from hanse.attestation.snp.report import SnpReport
from hanse.attestation.snp.tcb import LINES
from hanse.errors import EvidenceError

MOST_DOCUMENTS = 1024
_SIGNERS = {"vcek": "VCEK", "vlek": "VLEK"}
_CHAIN, _LIST = "cert_chain", "crl"


def chain_name(signer: str, line: str) -> str:
    """Name of the document with the issuer of a key."""
    return f"amd/{signer.lower()}/{line}/{_CHAIN}"


def list_name(signer: str, line: str) -> str:
    """Name of the revocation list."""
    return f"amd/{signer.lower()}/{line}/{_LIST}"


def vcek_names(report: SnpReport) -> list[str]:
    """Names that the certificate of the key that signed a report may go by."""
    return [f"amd/vcek/{line}/{report.chip_id.hex()}/{report.reported_tcb.hex()}" for line in LINES]


def read_issuer(data: bytes, signer: str, line: str, root: x509.Certificate) -> x509.Certificate:
    """Read the document with an ASK or ASVK; the ARK may follow it.

    Raises:
        EvidenceError: It is another certificate, or another ARK follows.
    """
    what = f"collateral {chain_name(signer, line)}"
    issuer, *above = read_chain(data, what)
    if len(above) > 1 or (above and above[0] != root):
        raise EvidenceError(f"{what}: after the issuer comes something else than the pinned ARK-{line}")
    return check_issuer(issuer, signer, line, what)


def check_issuer(issuer: x509.Certificate, signer: str, line: str, what: str) -> x509.Certificate:
    """Hold that a certificate is the ASK of VCEKs, or the ASVK of VLEKs, of a product line.

    Raises:
        EvidenceError: It is another one.
    """
    name = issuer_name(signer, line)
    if common_name(issuer.subject) != name:
        raise EvidenceError(f"{what}: the issuer is {common_name(issuer.subject)!r}, and should be {name!r}")
    if not isinstance(issuer.public_key(), rsa.RSAPublicKey):
        raise EvidenceError(f"{what}: the key of {name} is not an RSA key")
    return issuer


def revocation_list(
    given: Circumstances, signer: str, line: str, root: x509.Certificate
) -> x509.CertificateRevocationList | None:
    """The revocation list of a product line's ARK, checked; None where the collateral has none.

    Raises:
        EvidenceError: It is malformed, not signed by the ARK, does not count at that time, or is older than
            one that was seen.
    """
    name = list_name(signer, line)
    if name not in given.collateral:
        return None
    found = check_revocation_list(given.collateral[name], root, given.at, f"collateral {name}")
    given.floors.check_issued(name, found.last_update_utc)
    return found


def check_collateral(
    documents: Mapping[str, bytes],
    at: datetime,
    floors: Floors,
    roots: Mapping[str, x509.Certificate],
) -> CheckedCollateral:
    """Check documents of AMD's before they are stored.

    Args:
        documents: By name.
        at: The time at which they have to count.
        floors: What was seen before.
        roots: The pinned ARKs, by product line.

    Raises:
        EvidenceError: One is malformed, expired, not genuine, revoked, older than one that was seen, or of
            another name. Names it.
    """
    if len(documents) > MOST_DOCUMENTS:
        raise EvidenceError(f"collateral: {len(documents)} documents, more than {MOST_DOCUMENTS}")
    given = Circumstances(at, b"", documents, floors)
    issued: dict[str, datetime] = {}
    expires: dict[str, datetime] = {}
    for name in sorted(documents):
        signer, line, rest = _parts(name)
        root = roots[line]
        found = revocation_list(given, signer, line, root)
        if rest == [_LIST]:
            assert found is not None
            issued[name] = found.last_update_utc
            expires[name] = _end(found)
            continue
        revoked = [found] if found else []
        if rest == [_CHAIN]:
            chain = [read_issuer(documents[name], signer, line, root)]
        else:
            chain = _vcek(name, documents, line, root)
        check_chain(chain, root, at, f"collateral {name}", revoked)
        expires[name] = min(certificate.not_valid_after_utc for certificate in chain)
    return CheckedCollateral(dict(documents), floors.raised({}, issued), expires)


def _parts(name: str) -> tuple[str, str, list[str]]:
    """Signer, product line and the rest of a document's name."""
    parts = name.split("/")
    if len(parts) < 4 or parts[0] != "amd" or parts[1] not in _SIGNERS or parts[2] not in LINES:
        raise EvidenceError(f"collateral {name!r} is not a document of AMD's")
    rest = parts[3:]
    if rest not in ([_CHAIN], [_LIST]) and not (parts[1] == "vcek" and len(rest) == 2):
        raise EvidenceError(f"collateral {name!r} is not a document of AMD's")
    return _SIGNERS[parts[1]], parts[2], rest


def _vcek(
    name: str, documents: Mapping[str, bytes], line: str, root: x509.Certificate
) -> list[x509.Certificate]:
    """A VCEK's chain, its name held against the certificate."""
    certificate = read_certificate(documents[name], f"collateral {name}")
    endorsed = read_endorsement(certificate, "VCEK")
    if endorsed.line != line or f"/{endorsed.chip_id.hex()}/" not in name:
        raise EvidenceError(f"collateral {name} is the certificate of another chip")
    above = documents.get(chain_name("VCEK", line))
    if above is None:
        raise EvidenceError(f"collateral {name} is there without {chain_name('VCEK', line)}")
    return [certificate, read_issuer(above, "VCEK", line, root)]


def _end(found: x509.CertificateRevocationList) -> datetime:
    end = found.next_update_utc
    assert end is not None, "check_revocation_list has refused a list without an end"
    return end
