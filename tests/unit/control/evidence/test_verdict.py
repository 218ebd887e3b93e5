"""Verdicts in words."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.gpu import vectors as gpu
from tests.policy_files import whole_policy
from tests.snp import vectors as snp

from hanse.attestation.appraise import appraise
from hanse.attestation.base import Appraisal, Aspect, Check, Kind, Tier
from hanse.control.evidence.verdict import FRESHNESS, Verdict, short

AT = datetime(2026, 1, 1, tzinfo=UTC)


def verdict(*tiers: Tier) -> Verdict:
    checks = tuple(
        Check(f"component {n}", Aspect.HARDWARE, tier, "expected", "seen", "note", "mend")
        for n, tier in enumerate(tiers)
    )
    return Verdict(Appraisal(Kind.SNP, checks, {}), AT, "0" * 64)


def test_a_warning_that_the_policy_accepts_by_name_passes_and_is_said() -> None:
    found = verdict(Tier.AFFIRMING, Tier.WARNING)

    assert found.passed
    assert found.word == "accepted with warnings"
    assert found.conclusion() == "accepted with warnings: component 1; the policy accepts each by name"


def test_one_component_that_is_not_accepted_refuses_the_whole() -> None:
    found = verdict(Tier.AFFIRMING, Tier.WARNING, Tier.CONTRAINDICATED)

    assert not found.passed
    assert found.conclusion() == "refused: the policy does not accept component 2"


def test_nothing_checked_does_not_pass() -> None:
    assert not verdict().passed
    assert not verdict(Tier.NONE).passed


def test_the_worst_component_is_explained_first() -> None:
    lines = list(verdict(Tier.WARNING, Tier.CONTRAINDICATED).remarks())

    assert lines[:5] == [
        "REFUSED: component 1",
        "  expected  expected",
        "  seen      seen",
        "  note      note",
        "  mend      mend",
    ]


def test_a_gpu_whose_certificates_never_end_is_said_to_be_fresh_by_its_nonce_alone() -> None:
    found = appraise(gpu.recorded(), whole_policy(gpu=gpu.policy()), gpu.given())

    assert found.expires is None
    assert FRESHNESS in list(Verdict(found, AT, "").remarks())


def test_a_report_whose_certificates_last_for_years_is_said_to_be_fresh_by_its_nonce_alone() -> None:
    evidence = snp.recorded("virtee-sev")
    given = snp.given(evidence)

    lines = list(Verdict(appraise(evidence, whole_policy(), given), AT, "").remarks())

    assert any("certificates last for years: only the nonce" in line for line in lines)


def test_a_long_value_is_shown_by_its_ends() -> None:
    assert short("ab" * 48) == "abababababababababab...abababab"
    assert short("UpToDate") == "UpToDate"
