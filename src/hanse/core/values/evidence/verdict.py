"""Verdict of an appraisal, as journals keep it: digests in place of what identifies a machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.core.values.schema import Digest, Strict

MOST_DIFFERING = 50
"""Components that a verdict names."""

_Short = Annotated[str, Field(max_length=200)]
_Time = Annotated[int, Field(ge=0, le=2**53)]


class Verdict(Strict):
    """Verdict about the evidence of one instance.

    Attributes:
        kind: Kind of the evidence.
        accepted: Whether the instance may take part.
        vector: Worst trustworthiness tier of each aspect that was checked (AR4SI): 2 affirming, 32 warning,
            96 contraindicated; empty where the evidence is not genuine.
        policy: Digest of the appraisal policy.
        evidence: SHA-256 of the evidence, as `hanse.attestation.evidence_file` writes it.
        collateral: SHA-256 of the collateral that was used, by name.
        at_ms: Time of the appraisal, milliseconds since 1970.
        expires_ms: When the verdict ends.
        differing: Components that are not affirmed, worst first, at most `MOST_DIFFERING`.
        not_proven: What came along and no signature covers, in words.
        reason: Why the instance may not take part; empty where it may.
    """

    kind: Literal["sgx", "tdx", "snp", "tpm", "gpu"]
    accepted: bool
    vector: dict[_Short, Annotated[int, Field(ge=0, le=96)]] = Field(default_factory=dict, max_length=16)
    policy: Digest
    evidence: Digest
    collateral: dict[_Short, Digest] = Field(default_factory=dict, max_length=64)
    at_ms: _Time
    expires_ms: _Time
    differing: tuple[_Short, ...] = Field((), max_length=MOST_DIFFERING)
    not_proven: tuple[_Short, ...] = Field((), max_length=MOST_DIFFERING)
    reason: str = Field("", max_length=4_096)
