"""Verdicts as journals keep them, made of appraisals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hanse.attestation.base import Appraisal, Check, Kind, Tier
from hanse.control.evidence.verdict import short
from hanse.core.values.evidence.verdict import MOST_DIFFERING, Verdict
from hanse.core.values.safe_text import one_line

MOST_TOLD = 5
"""Components that a refusal explains."""
_MOST_REASON = 4_000
_MOST_SHORT = 200
_MOST_COLLATERAL = 63
_PASSES = (Tier.AFFIRMING, Tier.WARNING)


def verdict_of(
    appraisal: Appraisal,
    policy: str,
    evidence: str,
    *,
    at: datetime,
    valid_for_s: float,
    deny: str | None,
) -> Verdict:
    """The verdict about genuine evidence.

    Args:
        appraisal: What the verifier found, with what its deny list refuses.
        policy: Digest of the policy.
        evidence: Digest of the evidence.
        at: The time of the appraisal.
        valid_for_s: How long a verdict counts; never longer than its collateral.
        deny: Digest of the deny list; None where there is none.
    """
    accepted = appraisal.tier in _PASSES
    ends = at + timedelta(seconds=valid_for_s)
    if appraisal.expires is not None:
        ends = min(ends, appraisal.expires)
    used = dict(sorted(appraisal.collateral.items())[:_MOST_COLLATERAL])
    return Verdict(
        kind=appraisal.kind.value,
        accepted=accepted,
        vector={aspect.value: int(tier) for aspect, tier in appraisal.vector.items()},
        policy=policy,
        evidence=evidence,
        collateral={name[:_MOST_SHORT]: digest for name, digest in used.items()} | _denied(deny),
        at_ms=_ms(at),
        expires_ms=_ms(ends) if accepted else _ms(at),
        differing=_shortened(tuple(check.component for check in appraisal.differing)),
        not_proven=_shortened(appraisal.not_proven),
        reason="" if accepted else refusal(appraisal),
    )


def refused(
    kind: Kind, reason: str, policy: str, evidence: str, *, at: datetime, deny: str | None = None
) -> Verdict:
    """The verdict about evidence that is not genuine, or that cannot be appraised."""
    return Verdict(
        kind=kind.value,
        accepted=False,
        policy=policy,
        evidence=evidence,
        collateral=_denied(deny),
        at_ms=_ms(at),
        expires_ms=_ms(at),
        reason=one_line(reason, _MOST_REASON) or "no reason given",
    )


def refusal(appraisal: Appraisal) -> str:
    """The components that a policy does not accept, in words for an administrator: the first few."""
    bad = [check for check in appraisal.differing if check.tier not in _PASSES]
    if not bad:
        return "nothing was checked"
    told = "; ".join(map(_about, bad[:MOST_TOLD]))
    more = len(bad) - MOST_TOLD
    return one_line(f"{told}; and {more} more" if more > 0 else told, _MOST_REASON)


def with_checks(appraisal: Appraisal, checks: tuple[Check, ...]) -> Appraisal:
    """An appraisal with further lines."""
    return replace(appraisal, checks=(*checks, *appraisal.checks)) if checks else appraisal


def _about(check: Check) -> str:
    told = f"{check.component} differs: expected {short(check.expected)}, seen {short(check.seen)}"
    if check.note:
        told += f" ({check.note})"
    return f"{told}. {check.mend.rstrip('.')}" if check.mend else told


def _denied(digest: str | None) -> dict[str, str]:
    return {} if digest is None else {"deny": digest}


def _shortened(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one_line(text, _MOST_SHORT) for text in texts[:MOST_DIFFERING])


def _ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp() * 1000)
