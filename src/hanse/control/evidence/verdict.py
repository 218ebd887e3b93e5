"""The verdict about evidence, in words for an administrator and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from hanse.attestation.base import Appraisal, Check, Tier
from hanse.core.values.wording import counted, named

WORDS = {
    Tier.NONE: "no verdict",
    Tier.AFFIRMING: "affirmed",
    Tier.WARNING: "warning",
    Tier.CONTRAINDICATED: "REFUSED",
}
"""Tiers in words."""
FRESHNESS = (
    "nothing expires for this kind of evidence: only the nonce in what it is bound to makes it fresh, and a "
    "file from another day looks the same"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict about one file of evidence.

    Attributes:
        appraisal: What the verifier found.
        at: The time for which it holds.
        policy: Digest of the policy.
        rehearsal: Whether the policy accepts software that plays a device.
    """

    appraisal: Appraisal
    at: datetime
    policy: str
    rehearsal: bool = False

    @property
    def passed(self) -> bool:
        """True where the policy accepts the machine.

        What a policy accepts by name although it is not as it should be, such as a TCB status, is a warning
        and passes: the policy is the one place where that is decided.
        """
        return self.appraisal.tier in (Tier.AFFIRMING, Tier.WARNING)

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return {Tier.AFFIRMING: "affirmed", Tier.WARNING: "accepted with warnings"}.get(
            self.appraisal.tier, "refused"
        )

    def as_json(self) -> dict[str, Any]:
        """The whole verdict."""
        found = self.appraisal
        return {
            "verdict": self.word,
            "passed": self.passed,
            "kind": found.kind.value,
            "at": time_in_words(self.at),
            "policy": self.policy,
            "rehearsal": self.rehearsal,
            "tier": int(found.tier),
            "vector": {aspect.value: int(tier) for aspect, tier in found.vector.items()},
            "checks": [asdict(check) | {"tier": int(check.tier)} for check in found.checks],
            "machine": found.machine,
            "measured": dict(found.measured),
            "advisories": list(found.advisories),
            "not_proven": list(found.not_proven),
            "expires": None if found.expires is None else time_in_words(found.expires),
            "collateral": dict(found.collateral),
        }

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Component, expected, seen and tier of each check; long values shortened."""
        for check in self.appraisal.checks:
            yield check.component, short(check.expected), short(check.seen), WORDS[check.tier]

    def remarks(self) -> Iterator[str]:
        """Lines about components that differ, worst first, and about the whole."""
        for check in self.appraisal.differing:
            yield from _about(check)
        found = self.appraisal
        for text in found.not_proven:
            yield f"not proven: {text}"
        yield f"machine: {found.machine or 'its kind has no identity'}"
        if found.expires is None:
            yield FRESHNESS
        else:
            yield f"holds until {time_in_words(found.expires)}, when the first certificate or list ends"
            if not any("crl" in name for name in found.collateral):
                yield (
                    "no revocation list was looked at, and certificates last for years: only the nonce in "
                    "what it is bound to makes it fresh"
                )
        if self.rehearsal:
            yield "REHEARSAL: software that plays a device is accepted; this proves nothing about a machine"

    def conclusion(self) -> str:
        """The verdict in a sentence."""
        worst = [check.component for check in self.appraisal.checks if check.tier is self.appraisal.tier]
        count = counted(len(self.appraisal.checks), "component")
        match self.appraisal.tier:
            case Tier.AFFIRMING:
                return f"affirmed: {count} as the policy says, at {time_in_words(self.at)}"
            case Tier.WARNING:
                return f"accepted with warnings: {named(worst)}; the policy accepts each by name"
            case Tier.NONE:
                return "refused: nothing was checked"
            case Tier.CONTRAINDICATED:
                return f"refused: the policy does not accept {named(worst)}"


def short(value: str) -> str:
    """A value for a table: the ends of a long one."""
    return value if len(value) <= 34 else f"{value[:20]}...{value[-8:]}"


def time_in_words(at: datetime) -> str:
    """A time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _about(check: Check) -> Iterator[str]:
    yield f"{WORDS[check.tier]}: {check.component}"
    yield f"  expected  {check.expected}"
    yield f"  seen      {check.seen}"
    if check.note:
        yield f"  note      {check.note}"
    if check.mend:
        yield f"  mend      {check.mend}"
