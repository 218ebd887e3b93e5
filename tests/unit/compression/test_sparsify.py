"""Which numbers are kept, and how the others are told where they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.compression.chains import normal

from hanse.compression.base import Vector
from hanse.compression.indices import decode_indices, encode_indices, indices_size
from hanse.compression.sparsify import RandomKStep, TopKStep, kept, largest_indices
from hanse.compression.stc import TernaryStep
from hanse.errors import UpdateError


@st.composite
def index_sets(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    size = draw(st.integers(1, 5000))
    chosen = draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=200))
    return np.array(sorted(chosen)), size


@given(index_sets())
def test_indices_come_back_from_as_many_bytes_as_were_foretold(drawn: tuple[np.ndarray, int]) -> None:
    indices, size = drawn

    data = encode_indices(indices, size)

    assert data.size == indices_size(indices.size, size)
    assert decode_indices(data, indices.size, size).tolist() == indices.tolist()


def test_an_index_takes_about_two_bits_and_the_logarithm_of_how_rare_it_is() -> None:
    assert indices_size(1000, 100_000) * 8 / 1000 < np.log2(100) + 2.1


@given(st.binary(min_size=indices_size(20, 500), max_size=indices_size(20, 500)))
def test_a_strangers_indices_are_increasing_and_in_range_or_refused(data: bytes) -> None:
    try:
        indices = decode_indices(np.frombuffer(data, np.uint8), 20, 500)
    except UpdateError:
        return
    assert indices.size == 20
    assert (np.diff(indices) > 0).all()
    assert indices[0] >= 0
    assert indices[-1] < 500


def test_an_index_that_comes_twice_is_refused() -> None:
    data = encode_indices(np.array([4, 5]), 64)
    data[:2] = encode_indices(np.array([4, 4]), 64)[:2]

    with pytest.raises(UpdateError, match="indices are not increasing"):
        decode_indices(encode_indices(np.array([4, 4]), 64), 2, 64)


def test_the_largest_are_kept_exactly() -> None:
    values = np.array([0.1, -5, 3, 0, 4], np.float32)
    step = TopKStep(0.5)

    parts, rest = step.encode(values, 0)

    assert step.decode(parts, rest, Vector("float32", 5), 0).tolist() == [0, -5, 3, 0, 4]


def test_of_equal_numbers_the_first_are_kept() -> None:
    assert largest_indices(np.array([1, -1, 2, 1, 1], np.float32), 3).tolist() == [0, 1, 2]


@given(st.integers(1, 400), st.floats(0.001, 0.5), st.integers(0, 2**63 - 1))
def test_numbers_drawn_at_random_are_distinct_and_in_range(size: int, fraction: float, seed: int) -> None:
    step = RandomKStep(fraction, scaled=False)
    values = np.arange(1, size + 1, dtype=np.float64)

    _, rest = step.encode(values, seed)

    assert rest is not None
    assert rest.size == kept(fraction, size)
    assert (np.diff(rest) > 0).all()
    assert set(rest) <= set(values)


def test_each_number_is_as_likely_to_be_drawn() -> None:
    step, size, times = RandomKStep(0.1, scaled=False), 105, 4000
    values = np.arange(size, dtype=np.float32)
    drawn = np.zeros(size)

    for seed in range(times):
        rest = step.encode(values, seed)[1]
        assert rest is not None
        drawn[rest.astype(int)] += 1

    # 11 of 105; five standard deviations of a binomial count.
    expected = times * 11 / size
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(expected) + expected * 0.1


def test_ternary_keeps_the_largest_as_signs_of_their_mean() -> None:
    values = np.array([0.1, -5, 3, 0, 4, 0.2], np.float32)
    step = TernaryStep(0.5)

    parts, _ = step.encode(values, 0)

    assert step.decode(parts, None, Vector("float32", 6), 0).tolist() == [0, -4, 4, 0, 4, 0]


def test_the_error_of_ternary_is_what_is_stated_exactly() -> None:
    values = normal(1000)
    step = TernaryStep(0.05)

    parts, _ = step.encode(values, 0)
    error = np.linalg.norm(step.decode(parts, None, Vector("float32", 1000), 0) - values)

    assert error == pytest.approx(step.error_bound(values), rel=1e-4)
