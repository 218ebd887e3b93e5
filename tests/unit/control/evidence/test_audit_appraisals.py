"""Evidence in files gives the recorded verdicts again, and today's documents may refuse it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.evidence_journals import LIST, VERIFIERS, EvidenceAuthor, Write
from tests.journals import NOW, SITES
from tests.snp.forge import issuer_of, revocation_list

from hanse.attestation.appraise import Verifiers
from hanse.control.audit import verify
from hanse.control.evidence.audit_appraisals import GivenFiles, check_appraisals
from hanse.control.evidence.files import Collateral
from hanse.control.evidence.side_files import SideFiles
from hanse.control.evidence_report import (
    APPRAISAL,
    WITHOUT_FILES,
    WITHOUT_TODAY,
    EvidenceReport,
)
from hanse.control.report import AuditReport

LATER = NOW + timedelta(days=90)
REVOKED = {LIST: revocation_list("Genoa", (issuer_of("VCEK", "Genoa").certificate,), at=LATER)}
CURRENT = {LIST: revocation_list("Genoa", at=LATER)}


@pytest.fixture
def run(author: Write) -> EvidenceAuthor:
    """A run under way, whose evidence is real and kept."""
    begun = author()
    begun.keeps_files = True
    begun.begin()
    return begun


def again(
    run: EvidenceAuthor,
    folder: Path,
    today: dict[str, bytes] | None = None,
    verifiers: Verifiers = VERIFIERS,
) -> AuditReport:
    report = verify(run.export(folder / "journal.jsonl"), plan=folder / "plan")
    given = None if today is None else Collateral(today)
    check_appraisals(report, GivenFiles(SideFiles([run.files]), (), given, LATER, verifiers))
    return report


def evidence_of(report: AuditReport) -> EvidenceReport:
    assert report.evidence is not None
    return report.evidence


def test_the_recorded_collateral_gives_the_recorded_verdicts(run: EvidenceAuthor, tmp_path: Path) -> None:
    report = again(run, tmp_path)

    assert not report.failed
    assert [found.standing for found in evidence_of(report).appraised] == ["as recorded", "as recorded"]
    assert WITHOUT_FILES not in report.not_proved
    assert WITHOUT_TODAY in report.not_proved


def test_the_report_is_json(run: EvidenceAuthor, tmp_path: Path) -> None:
    written = json.loads(json.dumps(again(run, tmp_path, CURRENT).as_json()))

    assert [found["passes_today"] for found in written["evidence"]["appraised"]] == [True, True]


def test_evidence_of_another_maker_does_not_pass_for_what_was_accepted(
    run: EvidenceAuthor, tmp_path: Path
) -> None:
    report = again(run, tmp_path, verifiers=Verifiers())

    assert [check.name for check in report.failed] == [APPRAISAL]
    assert "SNP evidence of budapest: it was accepted, and is not" in report.checks[APPRAISAL].problems[0]


def test_evidence_that_is_bound_to_other_claims_does_not_pass(run: EvidenceAuthor, tmp_path: Path) -> None:
    shown = evidence_of(again(run, tmp_path)).appraised[0].verdict.evidence
    run.appraise("zurich", run.claims("zurich"), evidence=shown)

    assert "it was accepted, and is not" in again(run, tmp_path).checks[APPRAISAL].problems[0]


def test_a_vector_that_was_recorded_better_than_it_is_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    run.appraise("zurich", vector={"runtime-opaque": 2})

    assert "the recorded vector has other tiers of" in again(run, tmp_path).checks[APPRAISAL].problems[0]


def test_a_verdict_that_outlives_its_collateral_is_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    run.appraise("zurich", expires_ms=int((NOW + timedelta(hours=2)).timestamp() * 1000))

    assert "count for longer than its collateral" in again(run, tmp_path).checks[APPRAISAL].problems[0]


def test_what_has_no_file_is_not_proved(run: EvidenceAuthor, tmp_path: Path) -> None:
    for path in (run.files / "attestation" / "evidence").iterdir():
        path.unlink()

    report = again(run, tmp_path)

    assert not report.failed
    assert {found.standing for found in evidence_of(report).appraised} == {"not proved"}
    assert any("no file of the evidence" in line for line in report.not_proved)


def test_a_file_that_is_not_what_its_name_says_does_not_count(run: EvidenceAuthor, tmp_path: Path) -> None:
    for path in (run.files / "attestation" / "collateral-used").iterdir():
        path.write_bytes(b"another one")

    report = again(run, tmp_path)

    assert {found.standing for found in evidence_of(report).appraised} == {"not proved"}
    assert any("are not what their names say" in remark for remark in evidence_of(report).remarks)


def test_a_refusal_that_is_not_repeated_is_remarked_and_fails_nothing(
    run: EvidenceAuthor, tmp_path: Path
) -> None:
    run.appraise("zurich", accepted=False, reason="older than what was seen")

    report = again(run, tmp_path)

    assert not report.failed
    assert any("was refused (older than what was seen)" in remark for remark in evidence_of(report).remarks)


class TestToday:
    def test_what_was_not_revoked_passes(self, run: EvidenceAuthor, tmp_path: Path) -> None:
        report = again(run, tmp_path, CURRENT)

        assert [found.passes_today for found in evidence_of(report).appraised] == [True, True]
        assert WITHOUT_TODAY not in report.not_proved

    def test_what_was_revoked_since_does_not_and_the_journal_stands(
        self, run: EvidenceAuthor, tmp_path: Path
    ) -> None:
        report = again(run, tmp_path, REVOKED)

        assert not report.failed
        assert [found.party for found in evidence_of(report).fallen] == list(SITES)
        assert "revoked" in evidence_of(report).fallen[0].today

    def test_documents_of_then_do_not_count_today(self, run: EvidenceAuthor, tmp_path: Path) -> None:
        report = again(run, tmp_path, {})

        assert len(evidence_of(report).fallen) == len(SITES)
