"""Histograms of what an aggregator saw."""

from __future__ import annotations

import numpy as np
import pytest
from tests.masked_sums import masked_all, random_bytes

from hanse.demo.seen import BINS, Seen, histogram


def test_the_least_number_is_first_and_the_largest_last() -> None:
    words = np.array([-(2**31), -1, 0, 2**31 - 1], np.int64).astype(np.uint32)

    counts = histogram([words])

    assert (counts[0], counts[BINS // 2 - 1], counts[BINS // 2], counts[-1]) == (1, 1, 1, 1)


def test_words_of_64_bits_are_counted_alike() -> None:
    words = np.array([-(2**63), -1, 0, 2**63 - 1], np.int64).view(np.uint64)

    assert histogram([words]) == histogram([(words >> np.uint64(32)).astype(np.uint32)])


def test_counts_of_several_vectors_are_added() -> None:
    assert histogram([np.zeros(3, np.uint32), np.ones(2, np.uint32)])[BINS // 2] == 5


def test_a_masked_vector_is_spread_over_the_ring_and_the_sum_is_not() -> None:
    q = {name: np.frombuffer(random_bytes(n)(4_000), "<u4") >> 12 for n, name in enumerate("abcd")}
    y = masked_all(q)

    seen = Seen("a", 4, histogram([y["a"]]), histogram([sum(y.values(), np.zeros(1_000, np.uint32))]))

    upload, sums = seen.around_zero
    assert upload == pytest.approx(2 / BINS, abs=0.05)
    assert sums == 1.0
    assert seen.numbers == 1_000
