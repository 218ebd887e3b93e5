"""Draft of a policy from genuine evidence, for a person to edit."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import ValidationError

from hanse.attestation.appraise import Verifiers, appraise
from hanse.attestation.base import Circumstances, Evidence, Kind
from hanse.attestation.certificates import read_certificate
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.reports import EnclaveReport, TdReport
from hanse.attestation.gpu import report as gpu
from hanse.attestation.policy.file import DRAFT, FORMAT, AppraisalPolicy
from hanse.attestation.policy.sgx import DEBUG
from hanse.attestation.sgx import enclave_values
from hanse.attestation.snp import report as snp
from hanse.attestation.snp.checks import row_values
from hanse.attestation.snp.endorsement import read_endorsement
from hanse.attestation.snp.tcb import read_tcb
from hanse.attestation.tdx import domain_values
from hanse.attestation.tpm.quote import read_quote as read_tpm_quote
from hanse.attestation.tpm.registers import read_registers
from hanse.attestation.tpm.verifier import PCRS, TpmVerifier
from hanse.core.values.schema import problem_of
from hanse.errors import EvidenceError

NOT_STATED = {"any": "The evidence of which this draft was made does not state it."}
NO_MAKER = {"any": f"{DRAFT} name the roots of makers, or write here why the pinned EK is enough."}
DECIDE = f"{DRAFT} read arXiv:2605.12990, and write here why Milan is accepted in spite of it."


def draft(
    evidence: Evidence, name: str, given: Circumstances, verifiers: Verifiers | None = None
) -> AppraisalPolicy:
    """Draft a policy whose row has the values of genuine evidence, and whose only machine is its own.

    What evidence does not decide is as strict as can be: only `UpToDate`, no advisory, no debugging. So the
    evidence itself may not pass; which components differ, its appraisal says.

    Args:
        evidence: Evidence of a machine that a person knows to run the image.
        name: Name of the image.
        given: As for a verification.
        verifiers: Verifiers that know the EK of a TPM, or have other roots.

    Raises:
        EvidenceError: The evidence is not genuine, or states what no policy accepts.
    """
    match evidence.kind:
        case Kind.SGX:
            section = _sgx(evidence, name)
        case Kind.TDX:
            section = _tdx(evidence, name)
        case Kind.SNP:
            section = _snp(evidence, name)
        case Kind.GPU:
            section = _gpu(evidence, name)
        case Kind.TPM:
            section = _tpm(evidence, name, (verifiers or Verifiers()).tpm)
    genuine = appraise(evidence, _policy(evidence.kind, section), given, verifiers=verifiers)
    section["machines"] = [genuine.machine]
    if "chips" in section:
        section["chips"] = [genuine.measured["chip"]]
    if "least_evaluation" in section:
        section["least_evaluation"] = int(genuine.measured["tcbEvaluationDataNumber"])
    return _policy(evidence.kind, section)


def _policy(kind: Kind, section: dict[str, Any]) -> AppraisalPolicy:
    try:
        return AppraisalPolicy.model_validate({"format": FORMAT, kind.value: section})
    except ValidationError as error:
        raise EvidenceError(f"{kind} evidence: no policy can be drafted of it: {problem_of(error)}") from None


def _intel() -> dict[str, Any]:
    return {"machines": "any", "statuses": ["UpToDate"], "advisories": [], "least_evaluation": 1}


def _sgx(evidence: Evidence, name: str) -> dict[str, Any]:
    report = read_quote(evidence.quote, Kind.SGX).report
    assert isinstance(report, EnclaveReport)
    values = enclave_values(report)
    flags = int.from_bytes(report.attributes[:8], "little") & ~DEBUG
    return {
        **_intel(),
        "rows": [{"by": "mrenclave", "name": name, "mrenclave": values["MRENCLAVE"]}],
        "attributes": {
            "debug": False,
            "flags": flags.to_bytes(8, "little").hex(),
            "xfrm": values["XFRM"],
        },
        "misc_select": values["MISCSELECT"],
        "cet_attributes": values["CET_ATTRIBUTES"],
        "config_id": values["CONFIGID"],
        "config_svn": report.config_svn,
        "ext_product": values["ISVEXTPRODID"],
        "family": values["ISVFAMILYID"],
    }


def _tdx(evidence: Evidence, name: str) -> dict[str, Any]:
    report = read_quote(evidence.quote, Kind.TDX).report
    assert isinstance(report, TdReport)
    values = domain_values(report)
    registers = ("MRTD", "RTMR0", "RTMR1", "RTMR2", "RTMR3")
    return {
        **_intel(),
        "rows": [{"name": name, **{register.lower(): values[register] for register in registers}}],
        "attributes": {
            "debug": False,
            "migratable": False,
            "sept_ve_disable": True,
            "others": values["TDATTRIBUTES others"],
        },
        "xfam": values["XFAM"],
        "mrconfigid": values["MRCONFIGID"],
        "mrowner": values["MROWNER"],
        "mrownerconfig": values["MROWNERCONFIG"],
        "mrservicetd": values.get("MRSERVICETD", NOT_STATED),
        "mrsignerseam": values["MRSIGNERSEAM"],
        "mrseam": [values["MRSEAM"]],
    }


def _snp(evidence: Evidence, name: str) -> dict[str, Any]:
    report = snp.read_report(evidence.quote)
    if not evidence.certificates:
        raise EvidenceError(
            "SNP evidence: its VCEK or VLEK is missing, which says of which product line it is",
            mend="Give it with --certificate.",
        )
    certificate = read_certificate(evidence.certificates[0], "certificate 1 of the SNP evidence")
    endorsed = read_endorsement(certificate, report.key.signer)
    row = {key.lower(): value for key, value in row_values(report).items()}
    bits, platform = report.policy.bits, report.platform
    product: dict[str, Any] = {
        "product": endorsed.line,
        "least_committed": read_tcb(report.committed_tcb, endorsed.line, "committed TCB"),
        "least_reported": read_tcb(report.reported_tcb, endorsed.line, "reported TCB"),
        "least_launch": read_tcb(report.launch_tcb, endorsed.line, "launch TCB"),
    }
    if endorsed.line == "Milan":
        product |= {"in_spite_of": "arXiv:2605.12990", "reason": DECIDE}
    return {
        "machines": "any",
        "signer": "VCEK" if report.key.signer == "VCEK" else {"vlek": endorsed.provider},
        "rows": [{"name": name, **row}],
        "vmpl": report.vmpl,
        "guest_policy": {
            "debug": False,
            "migrate_ma": False,
            "smt": bits["SMT"],
            "single_socket": bits["SINGLE_SOCKET"],
            "cxl": bits["CXL_ALLOW"],
            "aes_256_xts": bits["MEM_AES_256_XTS"],
            "rapl_disabled": bits["RAPL_DIS"],
            "ciphertext_hiding": bits["CIPHERTEXT_HIDING"],
            "page_swap_disabled": bits["PAGE_SWAP_DISABLE"],
            "least_abi": ".".join(map(str, report.policy.abi)),
        },
        "platform": {
            "smt_enabled": platform["SMT_EN"],
            "tsme_enabled": platform["TSME_EN"],
            "ecc_enabled": platform["ECC_EN"],
            "rapl_disabled": platform["RAPL_DIS"],
            "ciphertext_hiding": platform["CIPHERTEXT_HIDING_EN"],
            "alias_check": platform["ALIAS_CHECK_COMPLETE"],
            "tio_enabled": platform["TIO_EN"],
        },
        "mitigations": NOT_STATED if report.mitigations is None else report.mitigations.launch,
        "products": [product],
        "revocation": "required",
    }


def _tpm(evidence: Evidence, name: str, verifier: TpmVerifier) -> dict[str, Any]:
    if verifier.activated is None:
        raise EvidenceError(
            "TPM evidence: with which EK its AK was activated is not known, and every program can make an AK",
            mend="Activate the AK, and name the EK with --ek.",
        )
    quote = read_tpm_quote(evidence.quote)
    values = read_registers(evidence.parts.get(PCRS, b""))
    return {
        "rehearsal": False,
        "machines": [hashlib.sha256(verifier.activated.ek).hexdigest()],
        "manufacturers": NO_MAKER,
        "selection": list(quote.selection),
        "rows": [{"name": name, "pcrs": {str(n): value.hex() for n, value in values.items()}, "ima": "none"}],
        "firmware": [quote.firmware.hex()],
        "clock_safe": True,
    }


def _gpu(evidence: Evidence, name: str) -> dict[str, Any]:
    report = gpu.read_report(evidence.quote)
    return {
        "machines": "any",
        "chips": ["not verified yet"],
        "mode": "on",
        "feature": report.feature or NOT_STATED,
        "rows": [
            {
                "name": name,
                "driver": report.driver or NOT_STATED,
                "vbios": report.vbios or NOT_STATED,
                "measurements": {str(index): [value.hex()] for index, value in report.measurements.items()},
            }
        ],
        "revocation": "required",
    }
