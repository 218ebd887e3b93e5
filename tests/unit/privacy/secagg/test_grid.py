"""Grid: ranges at the largest number of sites, whole numbers that are exact, errors as stated."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masked_sums import random_bytes

from hanse.core.values.parameters import Array
from hanse.errors import UpdateError
from hanse.privacy.secagg.grid import (
    Randomness,
    Ring,
    Words,
    check_range,
    clip_scale,
    grid_bits,
    largest_error,
    largest_sum,
    real_words,
    signed_sum,
    standard_error,
    step_of,
    weight_of,
    whole_words,
)

RINGS: list[Ring] = [32, 64]


def up(size: int) -> bytes:
    """Randomness with which every number is rounded up."""
    return bytes(size)


def down(size: int) -> bytes:
    """Randomness with which every number is rounded down."""
    return b"\xff" * size


def coded(
    values: Array, bound: float, members: int, ring: Ring = 32, weight: float = 1.0, seed: int = 0
) -> Words:
    bits = grid_bits(ring, members)
    return real_words(
        values, -bound, bound, ring=ring, bits=bits, weight=weight, randomness=random_bytes(seed)
    )


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("members", [*range(1, 65), 1000])
def test_b_is_the_largest_with_which_no_sum_wraps_around(ring: Ring, members: int) -> None:
    bits = grid_bits(ring, members)

    assert members * 2**bits <= largest_sum(ring)
    assert bits == 48 or members * 2 ** (bits + 1) > largest_sum(ring)


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("members", [3, 4, 10, 20, 63, 64])
@pytest.mark.parametrize("value", [1.0, -1.0])
@pytest.mark.parametrize("draw", [up, down])
def test_members_that_are_all_at_the_end_of_the_range_stay_in_it(
    ring: Ring, members: int, value: float, draw: Randomness
) -> None:
    bits = grid_bits(ring, members)
    bound = 0.1  # not a power of 2, and larger in float32
    one = real_words(
        np.float32([bound * value]), -bound, bound, ring=ring, bits=bits, weight=1.0, randomness=draw
    )
    total = np.sum(np.repeat(one, members), dtype=one.dtype, keepdims=True)

    assert signed_sum(total, members << bits)[0] == value * members * 2**bits


@pytest.mark.parametrize("members", [4, 10, 63])
def test_a_number_that_bfloat16_rounded_above_the_bound_is_clipped_to_it(members: int) -> None:
    bound = 1.001  # bfloat16 makes 1.0078 of 1.005, and n of these would be out of range
    rounded = np.array([1.005], ml_dtypes.bfloat16)

    assert float(rounded[0]) > bound
    assert coded(rounded, bound, members)[0] == 2 ** grid_bits(32, members)


def test_a_rotation_in_float32_is_clipped_to_the_bound() -> None:
    h = np.ones((1, 1))
    for _ in range(10):
        h = np.block([[h, h], [h, -h]])
    rotated = (h / 32).astype(np.float32) @ np.full(1024, np.float32(0.1 / 32))

    assert coded(rotated, 0.1, 10).astype(np.int64).max() <= 2**27


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_before_the_clip(bad: float) -> None:
    with pytest.raises(UpdateError, match="not finite"):
        coded(np.array([0.0, bad]), 1.0, 4)


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (-1e-310, 1e-310), (0.0, 1e300), (math.nan, 1.0), (0.0, math.inf)],
)
def test_a_range_that_the_grid_cannot_divide_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="range of loss"):
        check_range(low, high, "loss")


@pytest.mark.parametrize("bound", [2.0**-500, 2.0**500])
def test_the_smallest_and_the_largest_range_are_coded(bound: float) -> None:
    check_range(-bound, bound, "loss")

    assert coded(np.array([bound, -bound]), bound, 10).view("<i4").tolist() == [2**27, -(2**27)]


def test_a_vector_of_zeros_is_not_scaled() -> None:
    assert clip_scale(0.0, 1.0) == 1.0
    assert clip_scale(4.0, 1.0) == 0.25
    with pytest.raises(UpdateError, match="norm"):
        clip_scale(math.inf, 1.0)


def test_more_examples_than_most_weigh_as_most() -> None:
    assert (weight_of(300, 1200), weight_of(5000, 1200)) == (0.25, 1.0)


def test_a_weight_is_multiplied_in_float64() -> None:
    x, w = np.float32([0.7231]), weight_of(300, 5000)
    got = real_words(x, -1.0, 1.0, ring=32, bits=27, weight=w, randomness=down)

    assert got[0] == math.floor(float(x[0]) * w * 2**27)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i4", "i8", "u8"])
def test_whole_numbers_are_exact(dtype: str) -> None:
    values = np.array([0, 1, 1, 0], dtype)
    words = whole_words(values, 0, 1, ring=32)

    assert (words + words + words).tolist() == [0, 3, 3, 0]


@pytest.mark.parametrize("ring", RINGS)
def test_negative_whole_numbers_come_back(ring: Ring) -> None:
    words = whole_words(np.array([-5, 7]), -10, 10, ring=ring)

    assert signed_sum(words + words, 20).tolist() == [-10, 14]


@pytest.mark.parametrize("dtype", ["i1", "u1", "i8", "u8"])
def test_whole_numbers_out_of_range_are_clipped(dtype: str) -> None:
    span = np.iinfo(dtype)
    words = whole_words(np.array([span.min, span.max], dtype), 0, 100, ring=64)

    assert words.tolist() == [0, 100]


def test_a_range_wider_than_the_dtype_clips_nothing() -> None:
    assert whole_words(np.array([0, 255], np.uint8), -(10**12), 10**12, ring=64).tolist() == [0, 255]


def test_a_sum_beyond_what_n_members_have_is_refused() -> None:
    with pytest.raises(UpdateError, match="no members have who keep to their ranges"):
        signed_sum(np.array([3 * 2**28 + 1], "<u4"), 3 << 28)


@given(
    values=st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20),
    bound=st.floats(2.0**-40, 2.0**40),
    members=st.integers(3, 64),
    ring=st.sampled_from(RINGS),
    examples=st.integers(1, 2000),
    seed=st.integers(0, 2**31),
)
def test_the_error_of_a_sum_never_exceeds_what_is_stated(
    values: list[float], bound: float, members: int, ring: Ring, examples: int, seed: int
) -> None:
    bits, step = grid_bits(ring, members), step_of(-bound, bound, grid_bits(ring, members))
    weight, sites = weight_of(examples, 1200), values[:members]
    numbers = np.array(sites) * bound
    words = coded(numbers, bound, members, ring, weight, seed)
    total = int(signed_sum(np.sum(words, dtype=words.dtype, keepdims=True), len(sites) << bits)[0])

    exact = sum(Fraction(float(x)) for x in numbers) * Fraction(min(examples, 1200), 1200)
    error = abs(Fraction(total) * Fraction(step) - exact)
    assert error < Fraction(largest_error(step, bits, len(sites), 1.0)) * (1 + Fraction(1, 2**40))


def test_the_mean_error_of_rounding_is_zero_and_its_deviation_as_stated() -> None:
    sites, numbers = 10, 40_000
    rng = np.random.default_rng(5)
    values = rng.uniform(-1, 1, (sites, numbers))
    total = sum(coded(values[k], 1.0, sites, seed=k).astype(np.uint32) for k in range(sites))
    step = 2.0**-27
    errors = signed_sum(np.asarray(total, "<u4"), sites << 27) * step - values.sum(axis=0)

    bound = standard_error(step, sites, 1.0)
    assert abs(errors.mean()) < 5 * bound / math.sqrt(numbers)
    # Uniform fractions have a variance of 1/6, the bound is that of the worst fraction, 1/2.
    assert 0.9 * math.sqrt(2 / 3) * bound < errors.std() < bound


def test_the_deviation_reaches_its_bound_half_way_between_two_points() -> None:
    sites, numbers = 10, 40_000
    half = np.full(numbers, 0.5 * 2.0**-27)
    total = sum(coded(half, 1.0, sites, seed=k).astype(np.uint32) for k in range(sites))
    errors = np.asarray(total).astype(np.int64) * 2.0**-27 - sites * half[0]

    assert errors.std() == pytest.approx(standard_error(2.0**-27, sites, 1.0), rel=0.03)
