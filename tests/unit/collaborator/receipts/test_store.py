"""Receipts in a site's folder: kept whole, within bounds, and found again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.parties import NOW, new_authority
from tests.receipts import Signer, head

from hanse.collaborator.receipts import store as module
from hanse.collaborator.receipts.store import ReceiptStore
from hanse.core.journal.receipts import read_receipt
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import StorageError
from hanse.wire.messages.sites import MOST_RECEIPTS

Limited = Callable[[int], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(new_authority(), NOW)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path


def given(
    signer: Signer, sequence: int, run: str = "demo-1", digit: str = "a", **changes: Any
) -> CertifiedStatement:
    body = {"run_id": run, "exchange": sequence}
    return signer.of_outcome(body, head(sequence, digit), **changes)


def add(store: ReceiptStore, *statements: CertifiedStatement) -> None:
    for statement in statements:
        store.add(statement, read_receipt(statement.body))


def lines(site: Path, name: str = "demo-1.jsonl") -> list[bytes]:
    return (site / "receipts" / name).read_bytes().splitlines()


def test_the_last_receipt_of_a_run_is_found_by_the_next_agent(signer: Signer, site: Path) -> None:
    first, last = given(signer, 5), given(signer, 7)
    add(ReceiptStore(site), first, last)

    assert ReceiptStore(site).last("demo-1") == last


def test_of_a_run_without_receipts_the_last_one_of_the_membership_is_shown(
    signer: Signer, site: Path
) -> None:
    kept = given(signer, 5)
    add(ReceiptStore(site), kept)

    assert ReceiptStore(site).last("other-1") == kept


def test_a_site_without_receipts_has_none_to_show(site: Path) -> None:
    assert ReceiptStore(site).last("demo-1") is None
    assert ReceiptStore(site).shown() == ()


def test_each_receipt_of_a_run_is_a_line_and_a_repeated_one_is_not_kept_twice(
    signer: Signer, site: Path
) -> None:
    store, first, second = ReceiptStore(site), given(signer, 5), given(signer, 7)

    add(store, first, first, second)

    assert len(lines(site)) == 2


def test_the_membership_has_a_line_for_each_head_that_was_named(signer: Signer, site: Path) -> None:
    store = ReceiptStore(site)

    add(store, given(signer, 5), given(signer, 6), given(signer, 7, members=head(4)))

    assert len(lines(site, "federation.jsonl")) == 2


def test_receipts_are_for_their_owner_only(signer: Signer, site: Path) -> None:
    add(ReceiptStore(site), given(signer, 5))

    assert (site / "receipts").stat().st_mode & 0o777 == 0o700
    assert (site / "receipts" / "demo-1.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [1, 400, 5_000])
def test_a_line_that_a_killed_process_left_half_written_is_cut_off(
    signer: Signer, site: Path, size: int
) -> None:
    first, second, third = (given(signer, number) for number in (5, 6, 7))
    add(ReceiptStore(site), first, second)
    path = site / "receipts" / "demo-1.jsonl"
    os.truncate(path, max(path.stat().st_size - size, 0))
    left = path.read_bytes().count(b"\n")

    store = ReceiptStore(site)
    assert store.last("demo-1") == [store.last("other"), first, second][left]
    add(store, third)

    assert len(lines(site)) == left + 1
    assert ReceiptStore(site).last("demo-1") == third


def test_a_line_that_is_damaged_is_passed_over_and_named(
    signer: Signer, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(ReceiptStore(site), given(signer, 5))
    path = site / "receipts" / "demo-1.jsonl"
    path.write_bytes(b"?\n" + path.read_bytes())

    assert ReceiptStore(site).last("demo-1") is not None
    assert f"line 1 of {path} is not a receipt" in caplog.text


def test_on_a_full_disk_the_file_stays_as_it_was(signer: Signer, site: Path, largest_file: Limited) -> None:
    store = ReceiptStore(site)
    add(store, given(signer, 5))
    path = site / "receipts" / "demo-1.jsonl"
    before = path.read_bytes()

    with largest_file(len(before) + 100), pytest.raises(StorageError):
        add(store, given(signer, 6))

    assert path.read_bytes() == before
    add(store, given(signer, 7))
    assert len(lines(site)) == 2


def test_another_digest_for_a_record_conflicts(signer: Signer, site: Path) -> None:
    kept = given(signer, 5)
    add(ReceiptStore(site), kept)
    other = read_receipt(given(signer, 5, digit="b").body)

    assert list(ReceiptStore(site).conflicts(other)) == [(("demo-1", 5), kept)]


def test_another_digest_for_the_record_that_was_known_conflicts(signer: Signer, site: Path) -> None:
    kept = given(signer, 5)
    add(ReceiptStore(site), kept)
    body = {"run_id": "demo-1", "exchange": 9}
    other = read_receipt(signer.of_outcome(body, head(9), known=head(5, "b")).body)

    assert [place for place, _ in ReceiptStore(site).conflicts(other)] == [("demo-1", 5)]


def test_another_membership_conflicts_across_runs(signer: Signer, site: Path) -> None:
    add(ReceiptStore(site), given(signer, 5))
    other = read_receipt(given(signer, 5, run="other-1", members=head(3, "b")).body)

    assert [place for place, _ in ReceiptStore(site).conflicts(other)] == [("federation", 3)]


def test_receipts_that_agree_do_not_conflict(signer: Signer, site: Path) -> None:
    add(ReceiptStore(site), given(signer, 5))

    assert list(ReceiptStore(site).conflicts(read_receipt(given(signer, 6).body))) == []


def test_an_agent_shows_the_last_receipts_of_its_latest_runs(signer: Signer, site: Path) -> None:
    store = ReceiptStore(site)
    for number in range(40):
        add(store, given(signer, 5, run=f"demo-{number}"))
        os.utime(site / "receipts" / f"demo-{number}.jsonl", (number, number))
    last = given(signer, 8, run="demo-39", members=head(7))
    add(store, last)

    shown = ReceiptStore(site).shown()

    runs = [read_receipt(each.body).received for each in shown]
    assert len(shown) == MOST_RECEIPTS
    assert shown[:2] == (last, last)  # of the membership, and of the latest run
    assert {each.run_id for each in runs if each} == {f"demo-{number}" for number in range(9, 40)}


def test_a_run_with_very_many_receipts_keeps_the_latest(
    signer: Signer, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES_OF_FILE", 5_000)
    store = ReceiptStore(site)

    add(store, *(given(signer, number) for number in range(5, 25)))

    size = sum(path.stat().st_size for path in (site / "receipts").glob("demo-1*"))
    assert size < 3 * 5_000
    found = ReceiptStore(site).last("demo-1")
    assert found is not None
    assert read_receipt(found.body).received.journal.sequence == 24  # type: ignore[union-attr]


def test_receipts_of_the_runs_that_are_over_longest_are_deleted_when_there_are_too_many(
    signer: Signer, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ReceiptStore(site)
    for number in range(4):
        add(store, given(signer, 5, run=f"demo-{number}"))
        os.utime(site / "receipts" / f"demo-{number}.jsonl", (number, number))
    size = (site / "receipts" / "demo-0.jsonl").stat().st_size
    monkeypatch.setattr(module, "MOST_BYTES", 2 * size + 20)

    store.tidy_up()

    left = {path.name for path in (site / "receipts").iterdir()}
    assert left == {"demo-2.jsonl", "demo-3.jsonl", "federation.jsonl"}
