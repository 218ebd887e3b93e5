"""Arrays compared bit by bit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from hanse.errors import UpdateError
from hanse.learners.read_back import check_arrived, difference, same_bits

DTYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.uint8, np.bool_]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (7, 5), (400_003,)])
def test_arrays_of_the_same_bits_are_the_same_wherever_one_is_changed(
    dtype: type, shape: tuple[int, ...]
) -> None:
    one = np.ones(shape, dtype)

    assert same_bits(one, one.copy())
    for index in {0, one.size // 2, one.size - 1} if one.size else ():
        other = one.copy()
        other.reshape(-1)[index] = 0
        assert not same_bits(one, other)


def test_bits_are_compared_and_not_values() -> None:
    assert same_bits(np.array([np.nan]), np.array([np.nan]))
    assert not same_bits(np.array([0.0]), np.array([-0.0]))


def test_strided_arrays_are_compared_as_they_are_read() -> None:
    table = np.arange(6.0).reshape(2, 3)

    assert same_bits(table.T, table.T.copy())
    assert not same_bits(table.T.copy().reshape(2, 3), table)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"a": np.zeros(2), "b": np.ones(1), "c": np.ones(1)}, ""),
        ({"a": np.zeros(2)}, "b"),
        ({"a": np.zeros(2), "b": np.zeros(1)}, "b"),
        ({"a": np.zeros((2, 1)), "b": np.ones(1)}, "a"),
        ({"a": np.zeros(2, np.int64), "b": np.ones(1)}, "a"),
    ],
)
def test_the_first_tensor_that_differs_is_named(found: dict[str, np.ndarray], name: str) -> None:
    assert difference(found, {"a": np.zeros(2), "b": np.ones(1)}) == name


def test_what_did_not_arrive_is_refused_with_the_way_out() -> None:
    remedies = {"b": "Untie b.", "": "Any other."}

    with pytest.raises(UpdateError, match=r"tensor 'b' did not reach the model: .*Untie b\."):
        check_arrived({"b": np.zeros(1)}, {"b": np.ones(1)}, "the model", remedies)
    with pytest.raises(UpdateError, match=r"Any other\."):
        check_arrived({}, {"c": np.ones(1)}, "the model", remedies)
