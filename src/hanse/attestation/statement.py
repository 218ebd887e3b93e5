"""Statements of evidence, parsed and not verified: for people who look into a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hanse.attestation.base import Evidence, Kind
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.reports import EnclaveReport, TdReport
from hanse.attestation.gpu import report as gpu
from hanse.attestation.sgx import enclave_values
from hanse.attestation.snp import report as snp
from hanse.attestation.snp.checks import row_values
from hanse.attestation.tdx import domain_values
from hanse.attestation.tpm.quote import read_quote as read_tpm_quote
from hanse.attestation.tpm.registers import read_registers
from hanse.attestation.tpm.verifier import PCRS


@dataclass(frozen=True, slots=True)
class Statement:
    """Statement of evidence. Nothing of it is believed: no signature was looked at.

    Attributes:
        values: Values by component.
        report_data: What it says that it is bound to.
    """

    values: Mapping[str, str]
    report_data: bytes


def read_statement(evidence: Evidence) -> Statement:
    """Parse what evidence states.

    Raises:
        EvidenceError: It is malformed.
    """
    match evidence.kind:
        case Kind.SGX | Kind.TDX:
            return _intel(evidence)
        case Kind.SNP:
            return _snp(evidence)
        case Kind.GPU:
            return _gpu(evidence)
        case Kind.TPM:
            return _tpm(evidence)


def _intel(evidence: Evidence) -> Statement:
    quote = read_quote(evidence.quote, evidence.kind)
    report = quote.report
    assert isinstance(report, EnclaveReport | TdReport)
    values = enclave_values(report) if isinstance(report, EnclaveReport) else domain_values(report)
    return Statement({"quote version": str(quote.version)} | values, report.report_data)


def _snp(evidence: Evidence) -> Statement:
    report = snp.read_report(evidence.quote)
    values = {
        "report version": str(report.version),
        "SIGNING_KEY": report.key.signer,
        "CHIP_ID": report.chip_id.hex(),
        **{name: str(value) for name, value in row_values(report).items()},
        "VMPL": str(report.vmpl),
        "POLICY ABI": ".".join(map(str, report.policy.abi)),
        **{f"POLICY {name}": _yes(value) for name, value in report.policy.bits.items()},
        **{f"PLATFORM_INFO {name}": _yes(value) for name, value in report.platform.items()},
        "CURRENT_TCB": report.current_tcb.hex(),
        "REPORTED_TCB": report.reported_tcb.hex(),
        "COMMITTED_TCB": report.committed_tcb.hex(),
        "LAUNCH_TCB": report.launch_tcb.hex(),
    }
    return Statement(values, report.report_data)


def _tpm(evidence: Evidence) -> Statement:
    quote = read_tpm_quote(evidence.quote)
    registers = read_registers(evidence.parts.get(PCRS, b""))
    values = {f"PCR {number}": value.hex() for number, value in registers.items()} | {
        "selection": ", ".join(map(str, quote.selection)),
        "TPM firmware": quote.firmware.hex(),
        "clock": f"{quote.clock_ms} ms",
        "clock safe": _yes(quote.safe),
    }
    return Statement(values, quote.qualifying)


def _gpu(evidence: Evidence) -> Statement:
    report = gpu.read_report(evidence.quote)
    values = {"driver": report.driver, "VBIOS": report.vbios, "feature": report.feature}
    values |= {f"measurement {index}": value.hex() for index, value in report.measurements.items()}
    return Statement(values, report.nonce)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
