"""`hanse audit`: verdicts and accounts, and how the command ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.journals import LAST_MODEL, Author, World, new_world

from hanse.pki.certificates import pem_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return new_world(tmp_path_factory.mktemp("parties"))


@pytest.fixture(scope="module")
def author(world: World) -> Author:
    author = Author(world)
    author.whole_run()
    return author


@pytest.fixture
def journal(author: Author, tmp_path: Path) -> Path:
    return author.export(tmp_path / "journal.jsonl")


@pytest.fixture
def ca(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text(pem_of(world.authority.certificate))
    return path


@pytest.fixture
def forged(journal: Path) -> Path:
    journal.write_text(journal.read_text().replace('"num_examples":5', '"num_examples":6', 1))
    return journal


def test_a_genuine_journal_is_verified(journal: Path, ca: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "verify", journal, "--ca", ca)

    assert ended.code == 0
    assert ended.out.count("  ok  ") == 8
    assert "verified: 18 records, sealed by hanse://north/aggregator/hub 2026-05-04" in ended.out
    assert ended.err == ""


def test_a_forged_journal_ends_with_8_and_says_which_checks_failed(
    forged: Path, ca: Path, hanse: Hanse
) -> None:
    ended = hanse("audit", "verify", forged, "--ca", ca)

    assert ended.code == 8
    assert "  FAILED  chain" in ended.out
    assert "verified" not in ended.out
    assert "journal.jsonl is not what it claims to be: chain" in ended.err


def test_without_the_authority_it_is_said_what_is_not_proved(
    journal: Path, world: World, hanse: Hanse
) -> None:
    ended = hanse("audit", "verify", journal)

    assert ended.code == 0
    assert f"by the authority that the journal itself names, {world.authority.fingerprint}" in ended.err
    assert "add --ca" in ended.err


def test_the_verdict_comes_as_json_too(forged: Path, ca: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "verify", forged, "--ca", ca, "--json")

    value = json.loads(ended.out)
    assert ended.code == 8
    assert value["verified"] is False
    assert value["checks"]["chain"]["holds"] is False


def test_a_file_that_is_no_journal_ends_with_8(tmp_path: Path, hanse: Hanse) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")

    assert hanse("audit", "verify", tmp_path / "notes.txt").code == 8


def test_the_account_tells_agreement_and_disclosures(journal: Path, ca: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal, "--ca", ca)

    assert "run heart-1 of plan heart" in ended.out
    assert "accepted the plan: by rule" in ended.out
    assert "round 1, evaluate failed: out of memory" in ended.out
    (train, *_) = [line for line in ended.out.splitlines() if line.startswith("  2026") and " train " in line]
    assert train.split()[2:] == ["1", "train", "5", "loss", "cccccccccccc", "(120", "bytes)"]


def test_the_account_of_one_site_leaves_the_others_out(journal: Path, ca: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal, "--ca", ca, "--site", "zurich", "--json")

    assert list(json.loads(ended.out)["sites"]) == ["zurich"]


def test_a_site_that_there_is_not_is_told_with_those_that_there_are(journal: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal, "--site", "paris")

    assert ended.code == 3
    assert "no site 'paris'; its sites are: budapest, zurich" in ended.err


def test_the_account_of_a_forged_journal_ends_with_8(forged: Path, ca: Path, hanse: Hanse) -> None:
    assert hanse("audit", "show", forged, "--ca", ca).code == 8


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (LAST_MODEL, 0, "ok      model       the file is the model that the run ended with"),
        (b"another one", 8, "is another file: the journal names"),
    ],
)
def test_a_model_is_held_against_its_journal(
    journal: Path, ca: Path, hanse: Hanse, tmp_path: Path, content: bytes, code: int, told: str
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(content)

    ended = hanse("audit", "verify", journal, "--ca", ca, "--model", model)

    assert ended.code == code
    assert told in ended.out
