"""The bound of an update: as one vector, or number by number."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from hanse.core.plan.privacy.secure_aggregation import ModelBound
from hanse.core.values.parameters import Array
from hanse.updates.secure_sums.clipping import clipped_update, norm_of, surely_within

L2, MOST = ModelBound(clip=1.0), ModelBound(clip=1.0, norm="max")


def test_a_short_update_is_left_as_it_is() -> None:
    update = {"w": np.full(4, 0.5, np.float32)}

    assert clipped_update(update, L2) == (update, False)
    assert clipped_update(update, MOST) == (update, False)


def test_all_tensors_are_scaled_by_one_factor() -> None:
    update: dict[str, Array] = {"w": np.full(300_000, 1.0, ml_dtypes.bfloat16), "b": np.array(400.0)}

    found, clipped = clipped_update(update, L2)

    assert clipped
    scale = 1 / math.sqrt(300_000 + 160_000)
    assert np.allclose(found["w"], scale, rtol=1e-12)
    assert float(np.asarray(found["b"])) == pytest.approx(400 * scale, rel=1e-12)
    assert norm_of(found) == pytest.approx(1.0, rel=1e-12)


def test_numbers_beyond_the_largest_are_noticed_and_cut_where_they_are_rounded() -> None:
    update = {"w": np.array([0.1, -1.001])}

    assert clipped_update(update, MOST) == (update, True)


@pytest.mark.parametrize("size", [1.7e308, 3e200, 1e-200, 5e-324])
def test_the_norm_neither_overflows_nor_vanishes(size: float) -> None:
    assert norm_of({"a": np.zeros(3), "b": np.array([size])}) == pytest.approx(size, rel=1e-12)
    assert norm_of({"a": np.array([1e-300]), "b": np.array([size, 0])}) == pytest.approx(
        math.hypot(1e-300, size), rel=1e-12
    )


def test_of_no_numbers_the_norm_is_zero() -> None:
    assert norm_of({"a": np.zeros((0, 3)), "b": np.zeros(2)}) == 0.0


def test_what_is_well_within_the_bound_needs_no_norm() -> None:
    numbers = np.full(40_000, 0.9 / 200, np.float32)

    assert surely_within({"a": numbers, "b": np.zeros(0, np.float32)}, L2)
    assert clipped_update({"a": numbers}, L2) == ({"a": numbers}, False)


@pytest.mark.parametrize("size", [0.999 / 200, 1.0 / 200, 1e30, math.inf, math.nan])
def test_what_is_near_the_bound_or_beyond_is_not_surely_within(size: float) -> None:
    numbers = np.full(40_000, size, np.float32)

    assert not surely_within({"a": numbers}, L2)


def test_one_number_that_is_not_finite_is_never_within() -> None:
    numbers = np.zeros(40_000, np.float32)
    numbers[20_001] = math.nan

    assert not surely_within({"a": np.zeros(3, np.float32), "b": numbers}, ModelBound(clip=1e150))


def test_squares_that_float32_does_not_hold_are_not_lost() -> None:
    tiny = np.full(3, 1e-30, np.float32)

    assert not surely_within({"a": tiny}, ModelBound(clip=1e-31))
    assert clipped_update({"a": tiny}, ModelBound(clip=1e-31))[1]


def test_other_bounds_and_dtypes_are_not_judged() -> None:
    assert not surely_within({"a": np.zeros(1, np.float32)}, MOST)
    assert not surely_within({"a": np.zeros(1)}, L2)
