"""Rules for claims, verdicts and statements of instances, in the journals of all parties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hanse.attestation.base import Aspect, Tier
from hanse.core.plan.evidence.section import Attestation
from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.verdict import Verdict
from hanse.core.values.statements import SignedStatement
from hanse.sealing.owner import Owner
from hanse.sealing.run_files import AGGREGATOR_INSTANCE

LATE_MS = 60_000
"""Between the check of a verdict's end and the record of what was taken, in milliseconds, at most."""
_PASSING = (Tier.AFFIRMING, Tier.WARNING)


def problems_of_claims(claims: Claims, expected: Mapping[str, Any]) -> Iterator[str]:
    """Say where claims differ from what the verifier knew."""
    for name, value in expected.items():
        if getattr(claims, name) != value:
            yield f"its claims have {name} {_short(getattr(claims, name))}, not {_short(value)}"


def problems_of_verdict(claims: Claims, verdict: Verdict, rules: Attestation, time_ms: int) -> Iterator[str]:
    """Say what a verdict cannot be.

    Args:
        claims: The claims of the evidence.
        verdict: The verdict.
        rules: Of the plan.
        time_ms: Time of the record.
    """
    if verdict.policy != claims.policy:
        yield f"the verdict is by policy {verdict.policy[:12]}, and the claims name {claims.policy[:12]}"
    if claims.rehearsal and not rules.rehearsal:
        yield "it was for a rehearsal, and the plan is for none"
    if verdict.at_ms > time_ms:
        yield "it was appraised after it was recorded"
    if not verdict.accepted:
        return
    if not verdict.vector or any(tier not in _PASSING for tier in verdict.vector.values()):
        yield "it was accepted, and by its vector it does not pass"
    if verdict.reason:
        yield f"it was accepted, and has a reason against it: {_short(verdict.reason)}"
    if not verdict.at_ms < verdict.expires_ms <= verdict.at_ms + int(rules.valid_for * 1000):
        most = f"the plan's `valid_for`, {rules.valid_for:g} s"
        yield f"its verdict counts for longer than {most}, or not at all"


def keeps_memory_secret(claims: Claims, verdict: Verdict) -> bool:
    """Decide whether a verdict says that memory is confidential, or need not be in a rehearsal."""
    return claims.rehearsal or verdict.vector.get(Aspect.RUNTIME_OPAQUE) == Tier.AFFIRMING


def check_owned(owner: Owner, body: dict[str, Any], signature: str) -> None:
    """Check that the owner of a model signed an instance of the aggregator.

    Args:
        owner: The owner's public keys.
        body: Run and keys of the instance.
        signature: The owner's, base64.

    Raises:
        SealError: The owner did not.
    """
    statement = SignedStatement(body=body, key=owner.sign, signature=signature[:256])
    owner.verify(statement, AGGREGATOR_INSTANCE)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 64 else f"{text[:64]}..."
