"""What every list of transforms promises: its error, its size, the same bits again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.thorough import examples
from tests.unit.compression.chains import LOSSY, UNBIASED, chain, normal, vectors

from hanse.compression.base import Vector, norm
from hanse.compression.chain import Chain
from hanse.core.plan.transforms import SEGMENT
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError


def there_and_back(chain: Chain, values: Array, seed: int = 5) -> Array:
    return chain.decode(chain.encode(values, seed), Vector(values.dtype.name, values.size), seed)


@pytest.mark.parametrize("name", LOSSY)
@given(values=vectors(), seed=st.integers(0, 2**63 - 1))
@example(values=np.array([0.9373598, 1.0, *[0.0] * 9], np.float32), seed=0)
@settings(max_examples=examples(25), deadline=None)
def test_the_error_is_within_the_stated_bound(name: str, values: Array, seed: int) -> None:
    steps = chain(name)

    decoded = there_and_back(steps, values, seed)

    error = norm(decoded.astype(np.float64) - values.astype(np.float64))
    assert error <= steps.error_bound(values, seed) * (1 + 1e-6)


@pytest.mark.parametrize("name", LOSSY)
def test_the_error_of_a_whole_segment_is_within_the_stated_bound(name: str) -> None:
    values, steps = normal(SEGMENT), chain(name)

    error = norm(there_and_back(steps, values) - values)

    assert 0 < error <= steps.error_bound(values, 5)


@pytest.mark.parametrize("name", LOSSY)
@given(values=vectors(), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=examples(15), deadline=None)
def test_a_segment_takes_the_bytes_that_follow_from_its_length(name: str, values: Array, seed: int) -> None:
    steps = chain(name)
    like = Vector(values.dtype.name, values.size)

    data = steps.encode(values, seed)

    assert data.dtype == np.uint8
    assert data.size <= steps.largest(like)
    assert steps.level is not None or data.size == steps.size(like)


@pytest.mark.parametrize("name", LOSSY)
def test_the_same_numbers_and_seed_give_the_same_bytes(name: str) -> None:
    values, steps = normal(3000), chain(name)
    untouched = values.copy()

    first, again = steps.encode(values, 3), steps.encode(values, 3)

    assert first.tobytes() == again.tobytes()
    assert values.tobytes() == untouched.tobytes()


@pytest.mark.parametrize("name", UNBIASED)
def test_another_seed_gives_other_bytes(name: str) -> None:
    values, steps = normal(3000), chain(name)

    assert steps.encode(values, 3).tobytes() != steps.encode(values, 4).tobytes()


@pytest.mark.parametrize("name", UNBIASED)
def test_it_is_right_on_average(name: str) -> None:
    values = normal(512, seed=1, scale=1.0)
    values[7], values[100:120] = 6.0, 0.0  # one that stands out, and some that are nothing
    steps, times = chain(name), 300

    outcomes = np.array([there_and_back(steps, values, seed) for seed in range(times)], np.float64)

    deviation = outcomes.mean(axis=0) - values
    # The mean of independent errors: its squared norm is theirs over their number, give or take.
    single = np.mean(np.sum((outcomes - values) ** 2, axis=1))
    expected = single / times
    assert 0.5 * expected < np.sum(deviation**2) < 1.6 * expected
    # And along the vector itself, where shrinking would show first.
    along = outcomes @ values.astype(np.float64) / np.dot(values, values)
    assert abs(along.mean() - 1) < 4 * along.std() / np.sqrt(times) + 1e-6


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("size", [1, 2, 17, 1025])
def test_zeros_stay_zeros(name: str, size: int) -> None:
    zeros = np.zeros(size, np.float32)

    assert not there_and_back(chain(name), zeros).any()


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_come_back_finite_or_are_refused(name: str, dtype: type) -> None:
    largest = np.finfo(dtype).max
    values = np.array([largest, -largest, largest / 3, 0, 1] * 20, dtype)
    steps = chain(name)

    if any(word in name for word in ("rotate", "drive", "eden", "scaled")):
        with pytest.raises(UpdateError, match="too large to be"):
            steps.encode(values, 5)
    elif dtype is np.float64 and name.startswith("bf16"):
        with pytest.raises(UpdateError, match="too large for bfloat16"):
            steps.encode(values, 5)
    else:
        assert np.isfinite(there_and_back(steps, values)).all()


@pytest.mark.parametrize("name", LOSSY)
@given(data=st.data())
@settings(max_examples=examples(25), deadline=None)
def test_a_strangers_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    steps, like = chain(name), Vector("float32", size)
    honest = steps.encode(normal(size, seed=size), 5).tobytes()
    changed = bytearray(honest)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.sampled_from([len(changed), len(changed), 0, 1, len(changed) - 1]))

    try:
        found = steps.decode(np.frombuffer(bytes(changed[:length]), np.uint8), like, 5)
    except UpdateError:
        return
    assert (found.dtype, found.shape) == (np.float32, (size,))
