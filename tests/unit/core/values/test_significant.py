"""Numbers rounded to significant digits."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.significant import MOST_DIGITS, rounded_metrics, significant

FINITE = st.floats(allow_nan=False, allow_infinity=False)
DIGITS = st.integers(1, MOST_DIGITS)


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [
        (0.693147180559945, 6, 0.693147),
        (123456.789, 6, 123457.0),
        (-1234567.0, 3, -1230000.0),
        (1e-300 / 3, 2, 3.3e-301),
        (0.5, 1, 0.5),
        (0.25, 1, 0.2),
        (0.0, 6, 0.0),
    ],
)
def test_so_many_digits_are_left(value: float, digits: int, rounded: float) -> None:
    assert significant(value, digits) == rounded


@given(FINITE, DIGITS)
def test_no_more_digits_are_left_and_the_number_is_the_nearest(value: float, digits: int) -> None:
    rounded = significant(value, digits)

    assert len(Decimal(f"{rounded:.{digits - 1}e}").as_tuple().digits) <= digits
    assert float(f"{rounded:.{digits - 1}e}") in (rounded, math.copysign(math.inf, rounded))
    unit = Fraction(10) ** (Decimal(value).adjusted() - digits + 1) if value else Fraction(0)
    assert abs(Fraction(rounded) - Fraction(value)) <= unit + abs(Fraction(value)) / 2**52


@given(FINITE, DIGITS)
def test_rounding_again_changes_nothing_and_what_is_finite_stays_so(value: float, digits: int) -> None:
    rounded = significant(value, digits)

    assert math.isfinite(rounded)
    assert significant(rounded, digits) == rounded


@given(st.floats())
def test_seventeen_digits_are_every_bit(value: float) -> None:
    rounded = significant(value, MOST_DIGITS)

    assert rounded == value or math.isnan(value)
    assert math.copysign(1, rounded) == math.copysign(1, value) or math.isnan(value)


@pytest.mark.parametrize(("digits", "rounded"), [(1, 1e308), (2, 1.7e308), (5, 1.7976e308)])
def test_the_largest_numbers_are_not_rounded_past_the_last_one(digits: int, rounded: float) -> None:
    assert significant(1.7976931348623157e308, digits) in (rounded, significant(rounded, digits))
    assert significant(-1.7976931348623157e308, digits) == -significant(1.7976931348623157e308, digits)


def test_what_is_not_finite_stays_so_that_a_check_can_name_it() -> None:
    rounded = rounded_metrics({"a": math.nan, "b": -math.inf, "c": 1 / 3}, 3)

    assert math.isnan(rounded["a"])
    assert (rounded["b"], rounded["c"]) == (-math.inf, 0.333)
