"""What the demo shows of the numbers that its aggregator saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanse.cli.demo.seen import render, seen_of, sentence, show
from hanse.control.report import AuditReport, ReportedSum
from hanse.demo.seen import BINS, Seen
from hanse.privacy.secagg.grid import Words
from hanse.wire.tensors import write_hashed

NOISE = Seen("cleveland", 4, (1,) * BINS, (0,) * 7 + (8, 8) + (0,) * 7)


def kept(folder: Path, words: Words) -> str:
    """Digest of a vector's file that is kept in a folder."""
    digest, _ = write_hashed(folder / "new", {"masked": words}, "sha256")
    (folder / "new").rename(folder / digest)
    return digest


def report_of(**masked: str) -> AuditReport:
    """An auditor's report of one sum of some sites."""
    report = AuditReport("north", "r1", "0" * 64, authority_given=True)
    place = (1, 1, "train", 0, "all", tuple(masked), 1, "0" * 64)
    report.sums.append(ReportedSum(*place, (), masked, "0" * 64, None, None))
    return report


def test_uploads_of_the_site_and_sums_are_counted_apart(tmp_path: Path) -> None:
    one = kept(tmp_path, np.array([2**31, 2**31 + 1, 5], np.uint32))
    other = kept(tmp_path, np.array([2**31, 2**31, 5], np.uint32))

    seen = seen_of(report_of(a=one, b=other), "a", "train", tmp_path)

    assert seen is not None
    assert (seen.site, seen.members, seen.numbers) == ("a", 2, 3)
    assert (seen.upload[0], seen.sums[BINS // 2]) == (2, 3)


def test_a_sum_of_which_a_vector_is_missing_is_not_shown(tmp_path: Path) -> None:
    one = kept(tmp_path, np.zeros(3, np.uint32))

    assert seen_of(report_of(a=one, b="b" * 64), "a", "train", tmp_path) is None


def test_sums_of_other_sites_are_not_shown(tmp_path: Path) -> None:
    one = kept(tmp_path, np.zeros(3, np.uint32))

    assert seen_of(report_of(b=one), "a", "train", tmp_path) is None


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
