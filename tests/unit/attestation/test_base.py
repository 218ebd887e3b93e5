"""Evidence is bounded, and a verdict is as bad as its worst component."""

from __future__ import annotations

import pytest

from hanse.attestation.base import MAX_QUOTE, Appraisal, Aspect, Check, Evidence, Kind, Tier
from hanse.errors import EvidenceError


def check(component: str, aspect: Aspect, tier: Tier) -> Check:
    return Check(component, aspect, tier, expected="1", seen="2")


def test_a_quote_that_is_too_long_is_refused_by_its_size() -> None:
    with pytest.raises(EvidenceError, match="quote has 32769 bytes"):
        Evidence(Kind.TDX, bytes(MAX_QUOTE + 1))


def test_too_many_certificates_are_refused() -> None:
    with pytest.raises(EvidenceError, match="9 certificates"):
        Evidence(Kind.SNP, b"", certificates=(b"",) * 9)


def test_an_aspect_is_as_bad_as_its_worst_component() -> None:
    checks = (
        check("MRTD", Aspect.EXECUTABLES, Tier.AFFIRMING),
        check("RTMR0", Aspect.EXECUTABLES, Tier.CONTRAINDICATED),
        check("TCB status", Aspect.HARDWARE, Tier.WARNING),
    )

    appraisal = Appraisal(Kind.TDX, checks, measured={})

    assert appraisal.vector == {
        Aspect.EXECUTABLES: Tier.CONTRAINDICATED,
        Aspect.HARDWARE: Tier.WARNING,
    }
    assert appraisal.tier is Tier.CONTRAINDICATED
    assert [each.component for each in appraisal.differing] == ["RTMR0", "TCB status"]


def test_a_verdict_without_checks_affirms_nothing() -> None:
    assert Appraisal(Kind.GPU, (), measured={}).tier is Tier.NONE
