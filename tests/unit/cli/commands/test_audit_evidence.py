"""`hanse audit verify` with the files of evidence beside a journal, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.evidence_journals import EvidenceAuthor, OneWorld, plan_folder, show_tpm
from tests.journals import NOW, new_world
from tests.policy_files import whole_policy
from tests.tpm import forge
from tests.tpm.forge import Tpm

from hanse.collaborator.site_journal import SiteJournal
from hanse.core.values.identity import Party, Role

TPM = Tpm()
POLICY = whole_policy(tpm=forge.policy(TPM, rehearsal=True))
OTHER = replace(TPM, registers=dict(TPM.registers) | {11: b"\x01" * 32})
PASSES = {"executables": 2, "runtime-opaque": 32}


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> OneWorld:
    made = new_world(tmp_path_factory.mktemp("parties"))
    return OneWorld(made.folder, made.authority)


@pytest.fixture
def run(federation: OneWorld, tmp_path: Path) -> EvidenceAuthor:
    """A rehearsal with one site, whose TPM is software."""
    plan = plan_folder(tmp_path / "plan", sealed=False, policy=POLICY, aggregator=None, rehearsal=True)
    begun = EvidenceAuthor(federation, tmp_path / "hub", plan)
    begun.start()
    begun.accept_plan("zurich")
    return begun


def site_folder(folder: Path) -> Path:
    """The folder of a site whose journal says nothing of evidence."""
    folder.mkdir()
    (folder / "site.yaml").touch()
    journal = SiteJournal(folder, Party("north", Role.COLLABORATOR, "zurich"), lambda: NOW)
    journal.begin(journal.first())
    journal.close()
    return folder


def test_the_command_appraises_again_and_says_so(run: EvidenceAuthor, tmp_path: Path, hanse: Hanse) -> None:
    show_tpm(run, "zurich", TPM, POLICY)
    journal = run.export(tmp_path / "journal.jsonl")
    (tmp_path / "ek.pub").write_bytes(TPM.ek_area)

    ended = hanse(
        *("audit", "verify", journal, "--plan", tmp_path / "plan", "--evidence", run.files),
        *("--endorsement", tmp_path / "ek.pub"),
    )

    assert ended.code == 0
    assert "ok      appraisal" in ended.out
    assert "accepted (rehearsal)" in ended.out
    assert "as recorded" in ended.out
    assert "not proved: that a TPM holds the keys that signed (zurich)" in ended.out


def test_the_command_ends_with_8_where_evidence_does_not_bear_the_verdict_out(
    run: EvidenceAuthor, tmp_path: Path, hanse: Hanse
) -> None:
    show_tpm(run, "zurich", OTHER, POLICY, vector=PASSES)
    journal = run.export(tmp_path / "journal.jsonl")

    ended = hanse("audit", "verify", journal, "--plan", tmp_path / "plan", "--evidence", run.files)

    assert ended.code == 8
    assert "appraisal failed" in ended.err


def test_files_of_evidence_are_needed_for_an_appraisal_today(
    run: EvidenceAuthor, tmp_path: Path, hanse: Hanse
) -> None:
    journal = run.export(tmp_path / "journal.jsonl")

    ended = hanse("audit", "verify", journal, "--collateral", tmp_path / "plan")

    assert ended.code == 3
    assert "Add --evidence" in ended.err


def test_the_journal_of_a_site_that_showed_no_such_evidence_contradicts(
    run: EvidenceAuthor, tmp_path: Path, hanse: Hanse
) -> None:
    show_tpm(run, "zurich", TPM, POLICY)
    journal, site = run.export(tmp_path / "journal.jsonl"), site_folder(tmp_path / "zurich")

    ended = hanse(
        *("audit", "verify", journal, "--plan", tmp_path / "plan"),
        *("--evidence", run.files, "--evidence", site),
    )

    assert ended.code == 8
    assert "journal of zurich: it shows no such evidence" in ended.out
