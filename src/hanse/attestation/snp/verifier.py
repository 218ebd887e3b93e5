"""Verification of SEV-SNP attestation reports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from hanse.attestation.base import Appraisal, Circumstances, Evidence, Kind, Verifier
from hanse.attestation.certificates import check_chain, read_certificate
from hanse.attestation.policy.fields import in_words
from hanse.attestation.policy.snp import SnpPolicy
from hanse.attestation.snp.checks import checks_of, machine_of, row_values
from hanse.attestation.snp.documents import (
    chain_name,
    check_issuer,
    list_name,
    read_issuer,
    revocation_list,
    vcek_names,
)
from hanse.attestation.snp.endorsement import Endorsement, read_endorsement
from hanse.attestation.snp.report import SnpReport, read_report
from hanse.attestation.snp.roots import amd_roots
from hanse.attestation.snp.tcb import in_levels, line_of, read_tcb
from hanse.errors import EvidenceError

_TCBS = {
    "CURRENT_TCB": "current_tcb",
    "REPORTED_TCB": "reported_tcb",
    "COMMITTED_TCB": "committed_tcb",
    "LAUNCH_TCB": "launch_tcb",
}


@dataclass(frozen=True, slots=True)
class _Endorsed:
    """The key that signs a report, with its chain checked.

    Attributes:
        key: What AMD states of it.
        expires: When a certificate or the revocation list ends.
        listed: Whether there was a revocation list.
        collateral: Names of the documents that were used.
    """

    key: Endorsement
    expires: datetime
    listed: bool
    collateral: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnpVerifier(Verifier[SnpPolicy]):
    """Verifier of SEV-SNP evidence: a report, its VCEK or VLEK, and optionally ASK or ASVK and ARK; no parts.

    Collateral: see `hanse.attestation.snp.documents`.

    Attributes:
        roots: ARKs by product line; AMD's, but for tests with reports of their own making.
    """

    roots: Mapping[str, x509.Certificate] = field(default_factory=amd_roots)

    def appraise(self, evidence: Evidence, policy: SnpPolicy, given: Circumstances) -> Appraisal:
        """Verify a report and hold it against a policy; see `Verifier`."""
        if evidence.kind is not Kind.SNP or evidence.parts:
            raise EvidenceError(
                f"{evidence.kind} evidence with {len(evidence.parts)} parts is not SNP evidence"
            )
        report = read_report(evidence.quote)
        found = self._endorsed(evidence, report, given)
        _check_binding(report, given.report_data)
        _check_endorsement(report, found.key)
        _check_signature(report, found.key.key)
        return Appraisal(
            kind=Kind.SNP,
            checks=checks_of(policy, report, found.key, found.listed),
            measured=_values(report, found.key),
            machine=machine_of(report, found.key),
            expires=found.expires,
            collateral={
                name: hashlib.sha256(given.collateral[name]).hexdigest() for name in found.collateral
            },
        )

    def _endorsed(self, evidence: Evidence, report: SnpReport, given: Circumstances) -> _Endorsed:
        """The key's certificate, from the evidence or the collateral, with its chain to the pinned ARK."""
        used: list[str] = []
        chain = [
            read_certificate(data, f"certificate {n} of the SNP evidence")
            for n, data in enumerate(evidence.certificates, 1)
        ]
        if not chain:
            name = next((name for name in vcek_names(report) if name in given.collateral), None)
            if name is None or report.key.signer != "VCEK":
                raise EvidenceError(
                    f"SNP evidence: the certificate of its {report.key.signer} is missing",
                    mend="Give it with the evidence, or as collateral: AMD's service has VCEKs by chip id.",
                )
            used.append(name)
            chain = [read_certificate(given.collateral[name], f"collateral {name}")]
        if len(chain) > 3:
            raise EvidenceError(f"SNP evidence: it has {len(chain)} certificates, and up to 3 are taken")
        key = read_endorsement(chain[0], report.key.signer)
        root = self.roots[key.line]
        if len(chain) == 1:
            name = chain_name(report.key.signer, key.line)
            if name not in given.collateral:
                raise EvidenceError(
                    f"SNP evidence: the issuer of its {report.key.signer} is missing",
                    mend=f"Give it with the evidence, or as the collateral {name}.",
                )
            used.append(name)
            chain.append(read_issuer(given.collateral[name], report.key.signer, key.line, root))
        check_issuer(chain[1], report.key.signer, key.line, "SNP evidence")
        if len(chain) == 3 and chain[2] != root:
            raise EvidenceError(
                f"SNP evidence: its chain ends in another root than the pinned ARK-{key.line}"
            )
        listed = revocation_list(given, report.key.signer, key.line, root)
        check_chain(chain, root, given.at, "SNP evidence", [listed] if listed else [])
        expires = min(certificate.not_valid_after_utc for certificate in (*chain, root))
        if listed is not None:
            used.append(list_name(report.key.signer, key.line))
            expires = min(expires, listed.next_update_utc or expires)
        return _Endorsed(key, expires, listed is not None, tuple(used))


def _check_binding(report: SnpReport, expected: bytes) -> None:
    if report.report_data != expected:
        raise EvidenceError(
            f"SNP report: its report data is {report.report_data.hex()}, and should be {expected.hex()}",
            mend="The report is of another instance, purpose or time: ask for a new one.",
        )


def _check_endorsement(report: SnpReport, key: Endorsement) -> None:
    """Hold that the certificate is of the processor, and of the TCB, that the report states."""
    line = line_of(report)
    if line is not None and line != key.line:
        raise EvidenceError(f"SNP report: it is of a {line} processor, and its certificate of {key.product}")
    if key.chip_id and any(report.chip_id) and key.chip_id != report.chip_id:
        raise EvidenceError(
            f"SNP report: it is of the chip {report.chip_id.hex()}, and its certificate of "
            f"{key.chip_id.hex()}",
            mend="Give the VCEK of this chip.",
        )
    reported = read_tcb(report.reported_tcb, key.line, "reported TCB")
    if reported != key.levels:
        raise EvidenceError(
            f"SNP report: its reported TCB is {in_levels(reported)}, and its certificate is of "
            f"{in_levels(key.levels)}",
            mend="Give the certificate of the reported TCB: keys change with it.",
        )


def _check_signature(report: SnpReport, key: ec.EllipticCurvePublicKey) -> None:
    """ECDSA with P-384 and SHA-384; r and s are little-endian in the report."""
    try:
        key.verify(encode_dss_signature(*report.signature), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        raise EvidenceError(
            f"SNP report: it is not signed by the {report.key.signer} of its certificate",
            mend="It was changed, or the certificate is of another machine or TCB.",
        ) from None


def _values(report: SnpReport, key: Endorsement) -> dict[str, str]:
    values = {
        "report version": str(report.version),
        "product": key.product,
        "SIGNING_KEY": report.key.signer,
        "CHIP_ID": report.chip_id.hex(),
        **{name: str(value) for name, value in row_values(report).items()},
        "VMPL": str(report.vmpl),
        "POLICY ABI": ".".join(map(str, report.policy.abi)),
        **{f"POLICY {name}": in_words(value) for name, value in report.policy.bits.items()},
        **{f"PLATFORM_INFO {name}": in_words(value) for name, value in report.platform.items()},
        **{
            name: in_levels(read_tcb(getattr(report, attribute), key.line, name))
            for name, attribute in _TCBS.items()
        },
        "current firmware": str(report.current),
        "committed firmware": str(report.committed),
        "REPORT_ID": report.report_id.hex(),
        "REPORT_ID_MA": report.report_id_ma.hex(),
        "AUTHOR_KEY_EN": in_words(report.key.author_key),
        "MASK_CHIP_KEY": in_words(report.key.mask_chip_key),
    }
    if key.provider:
        values["provider"] = key.provider
    if report.processor is not None:
        values["processor"] = str(report.processor)
    if report.mitigations is not None:
        values["LAUNCH_MIT_VECTOR"] = f"{report.mitigations.launch:#x}"
        values["CURRENT_MIT_VECTOR"] = f"{report.mitigations.current:#x}"
    return values
