"""`hanse audit` on masked sums: who was in which, and what was not proved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.commands import Hanse
from tests.journals import new_world
from tests.unit.control.sums.masked_journal import MaskedAuthor


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a run in which c lost its key once."""
    author = MaskedAuthor(new_world(tmp_path_factory.mktemp("parties")))
    author.whole_run()
    return author.export(tmp_path_factory.mktemp("run") / "journal.jsonl")


def test_sums_are_a_check_of_their_own(journal: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "verify", journal)

    assert ended.code == 0
    assert "  ok      sums        each masked sum is over a whole cell" in ended.out
    assert "not proved: that a signing key belongs to a hospital" in ended.out


def test_an_empty_folder_of_blobs_adds_nothing(journal: Path, hanse: Hanse, tmp_path: Path) -> None:
    ended = hanse("audit", "verify", journal, "--blobs", tmp_path)

    assert "not proved: that 1 of the 1 masked sums are of the vectors" in ended.out


def test_a_site_shows_the_sums_that_it_was_in(journal: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal, "--site", "b")

    assert "was in 1 masked sum, and stated 2 READYs, one for each attempt:" in ended.out
    row = next(line.split() for line in ended.out.splitlines() if "a, b, c, d" in line)
    assert row[2:9] == ["1", "train", "all", "a,", "b,", "c,", "d"]
    assert row[9] == "2"


def test_what_was_masked_has_no_numbers_beside_it(journal: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal, "--site", "b")

    (train,) = [line for line in ended.out.splitlines() if "(120 bytes)" in line]
    assert train.count("in the sum") == 2


def test_a_second_attempt_is_shown_with_its_reason(journal: Path, hanse: Hanse) -> None:
    ended = hanse("audit", "show", journal)

    told = "round 1, train: the sum of cell all took 2 attempts: c lost the key of attempt 1"
    assert told in ended.out


def test_machines_read_the_sums_too(journal: Path, hanse: Hanse) -> None:
    report = json.loads(hanse("audit", "show", journal, "--json").out)

    (found,) = report["sums"]
    assert (found["cell"], found["attempt"], found["added"]) == ("all", 2, False)
    assert report["sites"]["c"]["attempts"] == 2
