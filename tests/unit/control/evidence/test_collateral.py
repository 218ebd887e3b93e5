"""Collateral on disk: checked before it is kept, and never older after newer."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.dcap.vectors import SGX, TDX, file
from tests.snp import vectors as snp

from hanse.attestation.base import Floors
from hanse.control.evidence.collateral import check, store
from hanse.control.evidence.files import Collateral, load_collateral
from hanse.control.evidence.floors import FLOORS_FILE, read_floors, write_floors
from hanse.errors import ConfigError, EvidenceError, HanseError, StorageError, TamperedError
from hanse.files.lock import DirectoryLock

INFO = "tcb-info/tdx/b0c06f000000"


def raise_floor(folder: Path, **changes: object) -> None:
    """As if a newer document had been stored before."""
    path = folder / FLOORS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_was_kept_is_read_again_with_its_floors(tmp_path: Path) -> None:
    kept = store(tmp_path / "store", TDX.collateral, TDX.at)

    found = load_collateral([tmp_path / "store"])

    assert found.documents == TDX.collateral
    assert found.floors == kept.floors
    assert found.floors.evaluation[INFO] == 17
    assert kept.platforms == ("tdx/b0c06f000000",)


def test_two_collections_are_kept_side_by_side(tmp_path: Path) -> None:
    store(tmp_path, TDX.collateral, TDX.at)
    store(tmp_path, SGX.collateral, SGX.at)
    store(tmp_path, snp.COLLATERAL, snp.NOW)

    assert load_collateral([tmp_path]).documents == {**TDX.collateral, **SGX.collateral, **snp.COLLATERAL}


def test_a_lower_evaluation_number_after_a_higher_is_refused(tmp_path: Path) -> None:
    store(tmp_path, TDX.collateral, TDX.at)
    raise_floor(tmp_path, evaluation={INFO: 18})

    with pytest.raises(EvidenceError, match="18"):
        store(tmp_path, TDX.collateral, TDX.at)


@pytest.mark.parametrize("name", [INFO, "qe-identity/tdx", "root-crl", "pck-crl/platform"])
def test_an_older_document_after_a_newer_is_refused(name: str, tmp_path: Path) -> None:
    kept = store(tmp_path, TDX.collateral, TDX.at)
    write_floors(
        tmp_path / FLOORS_FILE,
        Floors({}, {name: kept.floors.issued[name] + timedelta(seconds=1)}),
    )

    with pytest.raises(EvidenceError, match=name):
        store(tmp_path, TDX.collateral, TDX.at)


def test_expired_documents_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        store(tmp_path, TDX.collateral, TDX.at + timedelta(days=400))

    assert not (tmp_path / INFO).exists()
    assert not (tmp_path / FLOORS_FILE).exists()


def test_a_changed_document_is_not_kept(tmp_path: Path) -> None:
    changed = TDX.collateral[INFO].replace(b'"tcbEvaluationDataNumber":17', b'"tcbEvaluationDataNumber":99')
    assert changed != TDX.collateral[INFO]

    with pytest.raises(EvidenceError, match="signature"):
        store(tmp_path, {**TDX.collateral, INFO: changed}, TDX.at)


def test_a_list_that_only_evidence_can_vouch_for_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="cannot be checked without evidence"):
        store(tmp_path, {"nvidia/crl/l1-root.crl": b"list"}, TDX.at)

    assert check(Collateral({"nvidia/crl/l1-root.crl": b"list"}), TDX.at).unchecked == (
        "nvidia/crl/l1-root.crl",
    )


def test_a_store_that_another_process_uses_is_left_alone(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(StorageError, match="is using"):
        store(tmp_path, TDX.collateral, TDX.at)


def test_no_collateral_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="no document"):
        check(load_collateral([tmp_path]), TDX.at)


def test_two_that_differ_under_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "root-crl").write_bytes(b"one")
    (tmp_path / "b" / "root-crl").write_bytes(b"two")

    with pytest.raises(ConfigError, match="another root-crl"):
        load_collateral([tmp_path / "a", tmp_path / "b"])


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root-crl").symlink_to(tmp_path / "elsewhere")

    assert load_collateral([tmp_path]).documents == {}


def test_a_file_with_the_collateral_of_a_quote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "collateral.json"
    path.write_bytes(file("dcap-qvl/tdx_quote_collateral.json"))

    assert load_collateral([path]).documents == TDX.collateral


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[" * 100,
        '{"format":"hanse-floors-1","evaluation":{"a":-1},"issued":{}}',
        '{"format":"hanse-floors-1","evaluation":{},"issued":{"a":"2025-13-01T00:00:00Z"}}',
    ],
)
def test_damaged_floors_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / FLOORS_FILE
    path.write_text(text)

    with pytest.raises(HanseError) as refused:
        read_floors(path)

    assert isinstance(refused.value, TamperedError | EvidenceError)


def test_floors_of_two_stores_count_together(tmp_path: Path) -> None:
    write_floors(tmp_path / "a", Floors({"x": 3, "y": 5}, {"x": TDX.at}))
    later = Floors({"x": 4, "y": 1}, {"x": TDX.at - timedelta(days=1), "z": TDX.at})

    found = read_floors(tmp_path / "a", later)

    assert found == Floors({"x": 4, "y": 5}, {"x": TDX.at, "z": TDX.at})
