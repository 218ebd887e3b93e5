"""Half precision and bfloat16."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.compression.chains import normal, vectors

from hanse.compression.base import Step, Vector
from hanse.compression.casts import BrainStep, HalfStep
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


def test_bf16_rounds_to_nearest_and_ties_to_even() -> None:
    # 8 bits: 1 + 2**-8 lies halfway between 1 and 1 + 2**-7, 1 + 3 * 2**-8 between that and the next.
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -(1 + 2**-8)], np.float32)

    (written,), _ = BrainStep().encode(values, 0)

    assert written.dtype == ml_dtypes.bfloat16
    assert written.astype(np.float64).tolist() == [1.0, 1 + 2**-6, 1 + 2**-7, -1.0]


def test_bf16_at_random_goes_to_one_of_both_neighbours() -> None:
    values = np.full(10_000, 1 + 2**-9, np.float32)

    (written,), _ = BrainStep(stochastic=True).encode(values, 3)

    up = written.astype(np.float64) == 1 + 2**-7
    assert set(written.astype(np.float64)) == {1.0, 1 + 2**-7}
    assert up.mean() == pytest.approx(0.25, abs=0.02)


def test_what_would_round_to_infinity_becomes_the_largest_bf16() -> None:
    values = np.array([np.finfo(np.float32).max, -np.finfo(np.float32).max], np.float32)

    for step in (BrainStep(), BrainStep(stochastic=True)):
        (written,), _ = step.encode(values, 1)

        assert np.isfinite(written.astype(np.float32)).all()


def test_a_float64_beyond_bf16_is_refused_with_the_mend() -> None:
    with pytest.raises(UpdateError, match=r"too large for bfloat16\. Use `int8`"):
        BrainStep().encode(np.array([1e300]), 0)


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1.0, 1e30])
def test_half_precision_is_as_exact_for_tiny_and_huge_updates(scale: float) -> None:
    values = normal(1000) * np.float32(scale)
    step = HalfStep()

    parts, _ = step.encode(values, 0)
    decoded = step.decode(parts, None, Vector("float32", 1000), 0)

    assert np.linalg.norm((decoded - values) / scale) <= 2**-11 * np.linalg.norm(values / scale) * 1.01


@given(vectors(), st.integers(0, 2**63 - 1))
@example(np.array([2.22507386e-313]), 0)
@settings(max_examples=examples(60), deadline=None)
def test_half_precision_is_off_by_no_more_than_is_stated_of_each_number(values: Array, seed: int) -> None:
    decoded = there_and_back(HalfStep(), values, seed)

    # And by what is left where the vector is all but nothing: the smallest number there is, or half of
    # half precision's smallest step, as the scale ends where the dtype's normal numbers do.
    info = np.finfo(values.dtype)
    tiny = max(float(info.smallest_subnormal), 2.0**-25 * float(info.smallest_normal))
    allowed = np.maximum(2.0**-11 * np.abs(values), 2.0**-39 * np.abs(values).max()) + tiny
    assert (np.abs(decoded - values) <= allowed * (1 + 1e-6)).all()


@pytest.mark.parametrize(("stochastic", "relative"), [(False, 2.0**-8), (True, 2.0**-7)])
@given(values=vectors(), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=examples(60), deadline=None)
def test_bf16_is_off_by_no_more_than_is_stated_of_each_number(
    stochastic: bool, relative: float, values: Array, seed: int
) -> None:
    decoded = there_and_back(BrainStep(stochastic), values, seed)

    # bfloat16 has numbers down to 2**-133.
    allowed = relative * np.abs(values) + 2.0**-133
    assert (np.abs(decoded - values) <= allowed * (1 + 1e-6)).all()


def there_and_back(step: Step, values: Array, seed: int) -> Array:
    parts, rest = step.encode(values, seed)
    return step.decode(parts, rest, Vector(values.dtype.name, values.size), seed).astype(np.float64)


def test_an_exponent_that_no_number_has_is_refused() -> None:
    parts = [np.array([2000], np.int16), np.zeros(3, np.float16)]

    with pytest.raises(UpdateError, match="exponent of a segment is 2000"):
        HalfStep().decode(parts, None, Vector("float32", 3), 0)
