"""What the demo shows of the numbers that its aggregator saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.cli.demo.seen import render, seen_of, sentence, show
from hanse.control.report import Account, AuditReport, Disclosed, ReportedSum
from hanse.demo.seen import BINS, Seen
from hanse.privacy.secagg.grid import Words
from hanse.wire.tensors import write_hashed

NOISE = Seen("cleveland", 4, (1,) * BINS, (0,) * 7 + (8, 8) + (0,) * 7)


def kept(folder: Path, words: Words) -> str:
    """Digest of a vector's file that is kept in a folder."""
    digest, _ = write_hashed(folder / "new", {"masked": words}, "sha256")
    (folder / "new").rename(folder / digest)
    return digest


def report_of(update: str, total: str, *, masked: bool = True) -> AuditReport:
    """An auditor's report of one sum of two sites."""
    report = AuditReport("north", "r1", "0" * 64, authority_given=True)
    sent = Disclosed(1, 1, "train", 0, 0, (), update, 8, masked)
    report.sites["a"] = Account(disclosed=[sent])
    report.sums.append(ReportedSum(1, 1, "train", 0, "all", ("a", "b"), 1, "0" * 64, (), total, None, None))
    return report


def test_uploads_of_the_site_and_sums_are_counted_apart(tmp_path: Path) -> None:
    update = kept(tmp_path, np.array([2**31, 2**31 + 1], np.uint32))
    total = kept(tmp_path, np.zeros(3, np.uint32))

    seen = seen_of(report_of(update, total), "a", "train", tmp_path)

    assert seen is not None
    assert (seen.site, seen.members, seen.numbers) == ("a", 2, 2)
    assert (seen.upload[0], seen.sums[BINS // 2]) == (2, 3)


def test_without_a_vector_at_hand_there_is_nothing_to_show(tmp_path: Path) -> None:
    total = kept(tmp_path, np.zeros(3, np.uint32))

    assert seen_of(report_of("b" * 64, total), "a", "train", tmp_path) is None


def test_a_plain_update_is_not_shown(tmp_path: Path) -> None:
    total = kept(tmp_path, np.zeros(3, np.uint32))

    assert seen_of(report_of(total, total, masked=False), "a", "train", tmp_path) is None


def test_the_sentence_compares_both_with_chance() -> None:
    assert sentence(NOISE) == (
        "What the aggregator saw of cleveland is noise: 12 % of its numbers lie in the two of 16 parts of "
        "the ring around zero, where chance puts 12 %; of the sums 100 % do."
    )


def test_each_part_of_the_ring_has_a_row() -> None:
    table = render(NOISE)

    assert table.row_count == BINS


def test_the_longest_bar_is_that_of_the_most_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    show(NOISE)

    lines = [line for line in capsys.readouterr().out.splitlines() if "█ 8" in line]
    assert len(lines) == 2
    assert "-0.125 to +0.000" in lines[0]
