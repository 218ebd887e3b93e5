"""Verification of attestation reports of NVIDIA GPUs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography import x509

from hanse.attestation.base import Appraisal, Circumstances, Evidence, Kind, Verifier
from hanse.attestation.gpu.chain import check_firmware_id, check_gpu_chain
from hanse.attestation.gpu.checks import checks_of
from hanse.attestation.gpu.report import FWID, OPAQUE, GpuReport, check_signature, in_words, read_report
from hanse.attestation.gpu.root import nvidia_root
from hanse.attestation.policy.gpu import GpuPolicy
from hanse.errors import EvidenceError

MODE = "conf-compute-mode"
"""Part of the evidence: the mode of confidential computing as the driver states it, one of `MODES`."""
MODES = ("on", "off", "devtools")


@dataclass(frozen=True, slots=True)
class GpuVerifier(Verifier[GpuPolicy]):
    """Verifier of GPU evidence: a report, the chain of its key, and `MODE` where it was recorded.

    Collateral: see `hanse.attestation.gpu.chain`.

    Attributes:
        root: Root of the certificates; NVIDIA's, but for tests with reports of their own making.
    """

    root: x509.Certificate = field(default_factory=nvidia_root)

    def appraise(self, evidence: Evidence, policy: GpuPolicy, given: Circumstances) -> Appraisal:
        """Verify a report and hold it against a policy; see `Verifier`."""
        if evidence.kind is not Kind.GPU:
            raise EvidenceError(f"{evidence.kind} evidence is not GPU evidence")
        mode = _mode(evidence)
        report = read_report(evidence.quote)
        chain = check_gpu_chain(evidence, self.root, given)
        if report.nonce != given.report_data:
            raise EvidenceError(
                f"GPU report: its nonce is {report.nonce.hex()}, and should be {given.report_data.hex()}",
                mend="The report is of another instance or time: ask for a new one.",
            )
        check_firmware_id(chain.leaf, report.opaque.get(FWID, b""))
        check_signature(report, chain.key)
        return Appraisal(
            kind=Kind.GPU,
            checks=checks_of(policy, report, chain, mode),
            measured=_values(report) | {"chip": chain.chip, "certificate": chain.name},
            machine=chain.machine,
            not_proven=(f"The mode {mode!r} is what the driver states: no signature of the GPU covers it.",)
            if mode
            else (),
            expires=chain.expires,
            collateral={name: hashlib.sha256(given.collateral[name]).hexdigest() for name in chain.listed},
        )


def _mode(evidence: Evidence) -> str:
    others = sorted(set(evidence.parts) - {MODE})
    if others:
        raise EvidenceError(f"GPU evidence: it has a part {others[0]!r} that is not taken")
    if MODE not in evidence.parts:
        return ""
    written = evidence.parts[MODE]
    for mode in MODES:
        if written.removesuffix(b"\n") == mode.encode("ascii"):
            return mode
    raise EvidenceError(f"GPU evidence: its {MODE} is {written[:20]!r}, and should be {', '.join(MODES)}")


def _values(report: GpuReport) -> dict[str, str]:
    named = {
        OPAQUE.get(kind, f"opaque field {kind}"): in_words(kind, value)
        for kind, value in report.opaque.items()
    }
    stated = {"VBIOS_VERSION": report.vbios, "FEATURE_FLAG": report.feature}
    named |= {name: value for name, value in stated.items() if value}
    return named | {f"measurement {index}": value.hex() for index, value in report.measurements.items()}
