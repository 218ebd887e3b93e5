"""Tensors that are computed where they are read."""

from __future__ import annotations

import numpy as np
import pytest

from hanse.core.values.lazy import LazyTensor, flat_reader, materialize
from hanse.core.values.parameters import add, lazy_add, not_finite


def counted(size: int, block: int = 1) -> tuple[LazyTensor, list[tuple[int, int]]]:
    """A tensor of the numbers from 0 on, and the ranges that were read of it."""
    seen: list[tuple[int, int]] = []

    def read(begin: int, end: int) -> np.ndarray:
        seen.append((begin, end))
        return np.arange(begin, end, dtype=np.float32)

    return LazyTensor((size // 2, 2), np.dtype(np.float32), read, block), seen


def test_it_turns_into_the_array_that_it_stands_for() -> None:
    tensor, _ = counted(10)

    array = np.asarray(tensor)

    assert (array.shape, array.dtype, tensor.nbytes) == ((5, 2), np.float32, 40)
    assert array.tolist() == np.arange(10).reshape(5, 2).tolist()


def test_nothing_is_computed_before_it_is_read() -> None:
    _, seen = counted(10)

    assert seen == []


def test_a_long_one_is_read_in_whole_blocks() -> None:
    block = 100_000
    tensor, seen = counted(10 * block, block)

    np.asarray(tensor)

    assert len(seen) > 1
    assert all(begin % block == 0 for begin, _ in seen)


def test_arrays_and_what_is_computed_are_read_alike() -> None:
    tensor, _ = counted(10)

    pieces = [flat_reader(each)[0](3, 7).tolist() for each in (tensor, np.asarray(tensor))]

    assert pieces[0] == pieces[1] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("dtype", "change"),
    [
        (np.float32, np.array([0.5, -1.25], np.float32)),
        (np.float16, np.array([0.1, 1e-4], np.float32)),
        (np.int32, np.array([1.6, -2.5], np.float64)),
        (np.uint8, np.array([255, 1], np.uint8)),
        (np.bool_, np.array([0.5, 0.4], np.float32)),
    ],
)
def test_a_sum_is_the_same_computed_at_once_or_as_it_is_read(dtype: type, change: np.ndarray) -> None:
    base, delta = {"w": np.ones(2, dtype), "kept": np.ones(1)}, {"w": change}

    lazily, at_once = materialize(lazy_add(base, delta)), add(base, delta)

    assert lazily["w"].tobytes() == at_once["w"].tobytes()
    assert lazily["w"].dtype == at_once["w"].dtype == dtype
    assert lazily["kept"] is base["kept"]


def test_a_sum_that_overflows_is_seen_before_it_is_written() -> None:
    largest = np.full(300_000, np.finfo(np.float32).max)

    with np.errstate(over="ignore"):
        bad = not_finite(lazy_add({"w": largest}, {"w": largest}))

    assert bad == "w"
