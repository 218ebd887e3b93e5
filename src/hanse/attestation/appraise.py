"""Appraisal of evidence of any kind against a policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from hanse.attestation.base import Appraisal, Circumstances, Evidence
from hanse.attestation.gpu.verifier import GpuVerifier
from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.policy.gpu import GpuPolicy
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.policy.snp import SnpPolicy
from hanse.attestation.policy.tdx import TdxPolicy
from hanse.attestation.policy.tpm import TpmPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.snp.verifier import SnpVerifier
from hanse.attestation.tdx import TdxVerifier
from hanse.attestation.tpm.verifier import TpmVerifier
from hanse.errors import PolicyError


@dataclass(frozen=True, slots=True)
class Verifiers:
    """The verifier of each kind, with the roots that it has pinned, and what it knows of a TPM's keys."""

    sgx: SgxVerifier = field(default_factory=SgxVerifier)
    tdx: TdxVerifier = field(default_factory=TdxVerifier)
    snp: SnpVerifier = field(default_factory=SnpVerifier)
    tpm: TpmVerifier = field(default_factory=lambda: TpmVerifier(None))
    gpu: GpuVerifier = field(default_factory=GpuVerifier)


def appraise(
    evidence: Evidence,
    policy: AppraisalPolicy,
    given: Circumstances,
    *,
    rehearsal: bool = False,
    verifiers: Verifiers | None = None,
) -> Appraisal:
    """Verify evidence of any kind, and hold it against the section of its kind.

    Args:
        evidence: The evidence.
        policy: The policy; a kind that it does not name is refused.
        given: Time, binding and collateral.
        rehearsal: Whether the verifier's own settings permit that software plays a device.
        verifiers: Verifiers that know the EK of a TPM, or have other roots.

    Raises:
        PolicyError: The policy does not name the kind, or is for a rehearsal and this is none.
        EvidenceError: See `hanse.attestation.base.Verifier`.
    """
    section = policy.section(evidence.kind)
    if policy.rehearsal and not rehearsal:
        raise PolicyError(
            "the policy is for a rehearsal, which this is not: it accepts software that plays a device",
            mend="Take a policy for devices, or say that this is a rehearsal.",
        )
    by = verifiers or Verifiers()
    match section:
        case SgxPolicy():
            return by.sgx.appraise(evidence, section, given)
        case TdxPolicy():
            return by.tdx.appraise(evidence, section, given)
        case SnpPolicy():
            return by.snp.appraise(evidence, section, given)
        case TpmPolicy():
            return by.tpm.appraise(evidence, section, given)
        case GpuPolicy():
            return by.gpu.appraise(evidence, section, given)
