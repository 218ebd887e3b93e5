"""Journals of sites bear out that results left after the aggregator's evidence was accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.evidence_journals import DAY_MS, HUB, PASSING, EvidenceAuthor, Keys, Write, hub_policy
from tests.journals import NOW_MS, RUN, SITES, UPDATE

from hanse.control.audit import verify
from hanse.control.evidence.audit_sites import SiteJournal, check_sites
from hanse.control.evidence_report import AGGREGATOR, WITHOUT_SITES
from hanse.control.report import AuditReport
from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.journal.chain import GENESIS, link
from hanse.core.journal.site_records import ResultReleased, SiteRecord, site_record_body
from hanse.core.values.evidence.claims import Claims
from hanse.wire.messages.sites import UpdateFile


@pytest.fixture
def run(author: Write) -> EvidenceAuthor:
    """A run under way, in which both sites have answered once."""
    begun = author()
    begun.begin()
    for site in SITES:
        begun.answer_task(site, update=UpdateFile(digest=UPDATE, size=120))
    return begun


def audit(run: EvidenceAuthor, folder: Path) -> AuditReport:
    return verify(run.export(folder / "journal.jsonl"), plan=folder / "plan")


def journal(*records: SiteRecord, times: dict[int, int] | None = None, site: str = "zurich") -> SiteJournal:
    linked, previous = [], GENESIS
    for number, record in enumerate(records, start=1):
        time_ms = (times or {}).get(number, NOW_MS + number)
        made = link("site", number, time_ms, record.kind, site_record_body(record), previous)
        linked.append((made, record))
        previous = made.digest
    return SiteJournal(site, linked)


def appraised(
    run: EvidenceAuthor, keys: Keys = HUB, verdict: dict[str, Any] | None = None, **changes: Any
) -> AggregatorAppraised:
    """The aggregator's evidence, accepted at a site."""
    said = {
        "verifier": run.key("zurich").fingerprint,
        "nonce": "8" * 64,
        "role": "aggregator",
        "name": "hub",
        "signer": "7" * 64,
        "seal": keys.seal,
        "speak": keys.speak,
        "policy": hub_policy().digest,
    }
    claims = run.claims("zurich", **(said | changes))
    found = PASSING.model_copy(update={"policy": claims.policy, **(verdict or {})})
    return AggregatorAppraised(run_id=RUN, plan_digest=run.manifest.digest, claims=claims, verdict=found)


def shown(report: AuditReport, site: str = "zurich", **changes: Any) -> EvidenceReleased:
    """The site's own record of evidence that the run's journal has."""
    assert report.evidence is not None
    found = next(each for each in report.evidence.appraised if each.party == site)
    claims = Claims.model_validate(found.claims.model_dump(mode="json") | changes)
    return EvidenceReleased(
        run_id=RUN,
        plan_digest=report.plan_digest,
        device="snp",
        claims=claims,
        evidence=found.verdict.evidence,
    )


def result(run: EvidenceAuthor) -> ResultReleased:
    return ResultReleased(
        run_id=RUN,
        plan_digest=run.manifest.digest,
        exchange=1,
        round_number=1,
        task="train",
        model="a" * 64,
        num_examples=5,
    )


def test_a_result_that_left_after_the_aggregator_was_accepted_is_borne_out(
    run: EvidenceAuthor, tmp_path: Path
) -> None:
    report = audit(run, tmp_path)
    journals = [journal(shown(report), appraised(run), result(run))]
    check_sites(report, journals)

    assert not report.checks[AGGREGATOR].problems
    assert WITHOUT_SITES not in report.not_proved
    assert any("whose journals are not given: budapest" in line for line in report.not_proved)
    assert report.evidence is not None
    assert report.evidence.appraised[-1].by == "zurich"


def test_a_result_that_left_before_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = audit(run, tmp_path)
    check_sites(report, [journal(shown(report), result(run), appraised(run))])

    assert report.checks[AGGREGATOR].problems == [
        "journal of zurich: record 2: the result of exchange 1 left before evidence of the aggregator was "
        "accepted"
    ]


def test_evidence_that_was_refused_lets_no_result_leave(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = audit(run, tmp_path)
    refused = appraised(run, verdict={"accepted": False, "reason": "it differs"})
    check_sites(report, [journal(shown(report), refused, result(run))])

    assert "before evidence of the aggregator was accepted" in report.checks[AGGREGATOR].problems[0]


def test_evidence_for_another_policy_than_the_plans_lets_no_result_leave(
    run: EvidenceAuthor, tmp_path: Path
) -> None:
    report = audit(run, tmp_path)
    check_sites(report, [journal(shown(report), appraised(run, policy="1" * 64), result(run))])

    assert "before evidence of the aggregator was accepted" in report.checks[AGGREGATOR].problems[0]


def test_a_result_that_left_after_the_verdicts_end_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = audit(run, tmp_path)
    late = journal(shown(report), appraised(run), result(run), times={3: NOW_MS + DAY_MS})
    check_sites(report, [late])

    assert "after the verdict about the aggregator had ended" in report.checks[AGGREGATOR].problems[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": "1" * 64}, "its claims have plan 111"),
        ({"name": "harbour"}, "its claims have name harbour, not hub"),
        ({"role": "collaborator"}, "its claims have role collaborator"),
        ({"verifier": "1" * 64}, "another verifier than the site's signing key"),
        ({"keys": Keys("another service")}, "has no instance"),
    ],
)
def test_evidence_of_another_service_is_noticed(
    run: EvidenceAuthor, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    report = audit(run, tmp_path)
    check_sites(report, [journal(shown(report), appraised(run, **changes), result(run))])

    assert said in report.checks[AGGREGATOR].problems[0]


def test_a_nonce_that_is_used_twice_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = audit(run, tmp_path)
    check_sites(report, [journal(shown(report), appraised(run), appraised(run), result(run))])

    assert "its nonce was used before" in report.checks[AGGREGATOR].problems[0]


def test_evidence_that_a_site_never_showed_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = audit(run, tmp_path)
    other = shown(report, nonce="6" * 64)
    check_sites(report, [journal(other, appraised(run), result(run))])

    assert "it shows no such evidence as record" in report.checks[AGGREGATOR].problems[0]
