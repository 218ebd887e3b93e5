"""Evidence of TPMs in an audit: all is checked but the activation, for which there is the verifier's word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.evidence_journals import EvidenceAuthor, Write, show_tpm
from tests.policy_files import whole_policy
from tests.tpm import forge
from tests.tpm.forge import Tpm

from hanse.attestation.appraise import Verifiers
from hanse.control.audit import verify
from hanse.control.evidence.audit_appraisals import GivenFiles, check_appraisals
from hanse.control.evidence.side_files import SideFiles
from hanse.control.evidence_report import APPRAISAL
from hanse.control.report import AuditReport

TPM = Tpm()
POLICY = whole_policy(tpm=forge.policy(TPM, rehearsal=True))
OTHER = replace(TPM, registers=dict(TPM.registers) | {11: b"\x01" * 32})
PASSES = {"executables": 2, "runtime-opaque": 32}


@pytest.fixture
def run(author: Write) -> EvidenceAuthor:
    begun = author(sealed=False, policy=POLICY, aggregator=None, rehearsal=True)
    begun.start()
    begun.accept_plan("zurich")
    return begun


def again(run: EvidenceAuthor, folder: Path, *eks: bytes) -> AuditReport:
    report = verify(run.export(folder / "journal.jsonl"), plan=folder / "plan")
    check_appraisals(report, GivenFiles(SideFiles([run.files]), eks, None, forge.AT, Verifiers()))
    return report


@pytest.mark.parametrize("eks", [(), (TPM.ek_area,)], ids=["without the EK", "with it"])
def test_quote_and_registers_are_checked_and_the_activation_is_not_proved(
    run: EvidenceAuthor, tmp_path: Path, eks: tuple[bytes, ...]
) -> None:
    show_tpm(run, "zurich", TPM, POLICY)

    report = again(run, tmp_path, *eks)

    assert not report.failed
    assert report.evidence is not None
    assert [found.standing for found in report.evidence.appraised] == ["as recorded"]
    assert any("the keys that signed (zurich)" in line for line in report.not_proved)
    assert any("REHEARSAL" in remark for remark in report.evidence.remarks)


def test_registers_that_the_policy_does_not_accept_are_noticed(run: EvidenceAuthor, tmp_path: Path) -> None:
    show_tpm(run, "zurich", OTHER, POLICY, vector=PASSES)

    assert "does not pass: PCR 11" in again(run, tmp_path).checks[APPRAISAL].problems[0]
