"""`hanse audit` with the receipts of sites."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.journals import NOW, RUN, Author, World, new_world
from tests.receipts import Signer, head
from tests.witnesses import Witnesses

from hanse.core.run.lifecycle import NameRestore
from hanse.pki.certificates import pem_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture
def ca(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text(pem_of(world.authority.certificate))
    return path


@pytest.fixture
def witnesses(world: World, tmp_path: Path) -> Witnesses:
    witnesses = Witnesses(Author(world), tmp_path / "sites")
    witnesses.train()
    return witnesses


def test_receipts_of_two_sites_are_counted(
    witnesses: Witnesses, ca: Path, tmp_path: Path, hanse: Hanse
) -> None:
    witnesses.evaluate()
    journal = witnesses.author.export(tmp_path / "journal.jsonl")
    sites = [("--receipts", witnesses.site(name)) for name in ("budapest", "zurich")]

    ended = hanse("audit", "verify", journal, "--ca", ca, *sites[0], *sites[1])

    assert ended.code == 0
    assert "ok      receipts" in ended.out
    assert "receipts of this run: 2 of budapest, 2 of zurich" in ended.out
    assert "no other journal of this run" not in ended.out


def test_without_receipts_it_is_said_what_is_not_proved(
    witnesses: Witnesses, ca: Path, tmp_path: Path, hanse: Hanse
) -> None:
    journal = witnesses.author.export(tmp_path / "journal.jsonl")

    ended = hanse("audit", "verify", journal, "--ca", ca)

    assert ended.code == 0
    assert "not proved: that the aggregator has no other journal of this run" in ended.out


def test_a_record_that_a_receipt_names_and_the_journal_lacks_fails(
    witnesses: Witnesses, ca: Path, tmp_path: Path, hanse: Hanse
) -> None:
    witnesses.keep("zurich", witnesses.receipt("zurich", received={"outcome": "9" * 64}))
    journal = witnesses.author.export(tmp_path / "journal.jsonl")

    ended = hanse("audit", "verify", journal, "--ca", ca, "--receipts", witnesses.site("zurich"))

    assert ended.code == 8
    assert "FAILED  receipts" in ended.out
    assert "the journal lacks that outcome" in ended.out


def test_a_folder_without_receipts_of_the_run_is_named(
    witnesses: Witnesses, tmp_path: Path, hanse: Hanse
) -> None:
    journal = witnesses.author.export(tmp_path / "journal.jsonl")

    (tmp_path / "empty").mkdir()

    ended = hanse("audit", "verify", journal, "--receipts", tmp_path / "empty")

    assert ended.code == 3
    assert f"has no receipts of run {RUN}" in ended.err


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_restore_that_the_journal_names_is_shown(
    witnesses: Witnesses, world: World, ca: Path, tmp_path: Path, hanse: Hanse, command: str
) -> None:
    signer = Signer(world.authority, NOW)
    witnesses.author.do(NameRestore(head(7, "d"), signer.acknowledgement()))
    journal = witnesses.author.export(tmp_path / "journal.jsonl")

    ended = hanse("audit", command, journal, "--ca", ca)

    assert ended.code == 0
    assert f"restored from a backup, as olga (signing key {signer.key.fingerprint[:16]})" in ended.out
    assert "a disk failed" in ended.out
    (told,) = json.loads(hanse("audit", command, journal, "--ca", ca, "--json").out)["restores"]
    assert told["operator"] == "olga"
