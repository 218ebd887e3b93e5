"""Records of evidence in a site's journal: whose was appraised here, and what was shown of this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.verdict import Verdict
from hanse.core.values.schema import Digest, Strict

_RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class AggregatorAppraised(Strict):
    """This site appraised the evidence of the aggregator's instance."""

    kind: Literal["AggregatorAppraised"] = "AggregatorAppraised"
    run_id: _RunId
    plan_digest: Digest
    claims: Claims
    verdict: Verdict


class EvidenceReleased(Strict):
    """Evidence of this machine was about to leave; it identifies the machine.

    Attributes:
        claims: What the evidence is bound to.
        evidence: SHA-256 of the evidence, as `hanse.attestation.evidence_file` writes it.
    """

    kind: Literal["EvidenceReleased"] = "EvidenceReleased"
    run_id: _RunId
    plan_digest: Digest
    device: Literal["sgx", "tdx", "snp", "tpm", "gpu"]
    claims: Claims
    evidence: Digest
