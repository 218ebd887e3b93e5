"""Checks of what receipts have shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.parties import NOW, new_authority
from tests.receipts import RUN, Signer, head

from hanse.aggregator.members.restore_hold import RestoreHold
from hanse.collaborator.receipts.notes import (
    CONTRADICTION,
    NOTICED,
    Contradiction,
    NotedRestore,
    write_note,
)
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.core.journal.receipts import read_receipt
from hanse.core.journal.restores import LostRecord, RestoreNotice
from hanse.doctor.checks import Grade
from hanse.doctor.receipt_checks import check_receipts, check_restore
from hanse.errors import StorageError


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(new_authority(), NOW)


def test_a_site_that_has_never_connected_has_no_receipts_yet(tmp_path: Path) -> None:
    (finding,) = check_receipts(tmp_path)

    assert (finding.grade, finding.detail[:8]) == (Grade.OK, "none yet")


def test_the_runs_whose_receipts_a_site_has_are_counted(tmp_path: Path, signer: Signer) -> None:
    statement = signer.of_outcome({"run_id": RUN, "exchange": 1}, head(9))
    ReceiptStore(tmp_path).add(statement, read_receipt(statement.body))

    (finding,) = check_receipts(tmp_path)

    assert (finding.grade, finding.detail[:14]) == (Grade.OK, "those of 1 run")


def test_a_contradiction_is_a_failure(tmp_path: Path, signer: Signer) -> None:
    pair = signer.receipt(), signer.receipt(members=head(3, "b"))
    note = Contradiction(stream="federation", sequence=3, receipts=pair, noticed_ms=5)
    write_note(tmp_path, CONTRADICTION, note)

    *_, finding = check_receipts(tmp_path)

    assert finding.grade is Grade.FAIL
    assert "nothing leaves this site" in finding.detail
    assert "hanse collaborator acknowledge" in finding.mend


def test_a_restore_that_no_person_of_the_site_has_acknowledged_is_a_failure(
    tmp_path: Path, signer: Signer
) -> None:
    note = NotedRestore(record=head(5), statement=signer.acknowledgement(), noticed_ms=5)
    write_note(tmp_path, NOTICED, note)

    *_, finding = check_receipts(tmp_path)

    assert finding.grade is Grade.FAIL
    assert "as its operator olga acknowledged" in finding.detail


def test_an_aggregator_without_a_restore_has_no_finding(tmp_path: Path) -> None:
    assert list(check_restore(tmp_path)) == []


def test_an_aggregator_that_waits_for_its_operator_is_a_failure(tmp_path: Path, signer: Signer) -> None:
    lost = LostRecord(stream=RUN, heard=head(9), own=head(4), site="a")
    RestoreHold(tmp_path).begin(RestoreNotice(lost=lost, receipt=signer.receipt(), noticed_ms=5))

    (finding,) = check_restore(tmp_path)

    assert finding.grade is Grade.FAIL
    assert "record 9 of the journal of run demo-1" in finding.detail
    assert "hanse aggregator acknowledge" in finding.mend


def test_a_damaged_note_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "journal.restored.json").write_text("?")

    with pytest.raises(StorageError, match="is damaged"):
        list(check_restore(tmp_path))
