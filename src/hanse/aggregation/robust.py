"""Coordinate-wise median and trimmed mean, which a few bad updates cannot move far.

Yin, Chen, Ramchandran and Bartlett (2018), "Byzantine-Robust Distributed
Learning: Towards Optimal Statistical Rates", ICML,
https://arxiv.org/abs/1803.01498, definitions 1 and 2.

Both look at each number of the model by itself, over all updates, so they
read the updates side by side, a few thousand numbers of each at a time: a
block of all of them stays in the processor's cache, and memory does not grow
with the size of the model times the number of updates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial

import numpy as np

from hanse.aggregation.dtypes import as_number, check_alike, rounded
from hanse.aggregation.fold import divide_finite
from hanse.core.values.lazy import flat_reader
from hanse.core.values.parameters import Array, Parameters, is_floating
from hanse.errors import UpdateError

_BLOCK_BYTES = 512 * 1024
_STRETCH = 1 << 18
"""Numbers of each update that a thread takes at a time."""
_THREADS = 2

_Select = Callable[[Array], Array]
"""From a block, a row for each number of the model with its values in ascending order, to one value a row."""


def median(
    updates: Sequence[Parameters], *, block_bytes: int = _BLOCK_BYTES, threads: int = _THREADS
) -> dict[str, Array]:
    """The middle value of each number over the updates; between two middle ones their mean.

    Every update counts alike, and no order of the updates, size of blocks or
    number of threads changes a bit of the result. Tensors keep their dtype:
    narrow floating-point numbers are compared exactly, integer deltas are
    taken as signed (see `hanse.core.values.parameters`), the mean of two middle ones
    is taken in float64 and rounded once, to whole numbers where the tensor
    has those. A boolean tensor is true where at least half of the updates say so.

    Args:
        updates: Deltas with the same names, shapes and dtypes, without NaN.
        block_bytes: Size of each thread's block.
        threads: Threads that sort.

    Raises:
        UpdateError: There are no updates, or they do not fit together.
    """
    return _by_number(updates, _middle, "median", block_bytes, threads)


def trimmed_mean(
    updates: Sequence[Parameters], trim: float, *, block_bytes: int = _BLOCK_BYTES, threads: int = _THREADS
) -> dict[str, Array]:
    """Mean of each number over the updates, without its largest and its smallest values.

    As `median` in all other respects; sums are taken in float64, in ascending
    order of the values.

    Args:
        updates: As for `median`.
        trim: Part of the updates left out at each end, from 0 up to below 0.5: of n updates the
            whole part of `trim * n`, so that of fewer than 1 / `trim` updates none is left out.
        block_bytes: As for `median`.
        threads: As for `median`.

    Raises:
        UpdateError: As for `median`.
        ValueError: `trim` is out of range.
    """
    if not 0 <= trim < 0.5:
        raise ValueError(f"trim must be from 0 up to below 0.5, got {trim}")
    # As it is written: 0.29 of 100 updates are 29, though 0.29 * 100 is less.
    left_out = math.floor(Fraction(repr(float(trim))) * len(updates))
    return _by_number(updates, partial(_mean_without, left_out), "mean", block_bytes, threads)


def _middle(ascending: Array) -> Array:
    count = ascending.shape[1]
    upper = ascending[:, count // 2]
    if count % 2:
        return upper
    # Halved first: two large numbers may have no sum.
    return ascending[:, count // 2 - 1].astype(np.float64) / 2 + upper.astype(np.float64) / 2


def _mean_without(left_out: int, ascending: Array) -> Array:
    kept = ascending[:, left_out : ascending.shape[1] - left_out]
    # One column after another: how NumPy sums along a row depends on how many rows there are.
    total = np.zeros(len(kept))
    # Two large numbers may have no sum. A power of two changes no bit of it.
    share = 0.5 ** kept.shape[1].bit_length() if kept.dtype == np.float64 else 1.0
    for column in range(kept.shape[1]):
        total += kept[:, column].astype(np.float64) * share
    divide_finite(total, kept.shape[1] * share)
    return total


def _by_number(
    updates: Sequence[Parameters], select: _Select, what: str, block_bytes: int, threads: int
) -> dict[str, Array]:
    if not updates:
        raise UpdateError(f"nothing to aggregate: there is no update to take a {what} of")
    check_alike(updates, what)
    result = {
        name: np.empty(array.shape, array.dtype.newbyteorder("=")) for name, array in updates[0].items()
    }

    def work(part: tuple[str, int, int]) -> None:
        name, begin, end = part
        stretch = [flat_reader(update[name])[0](begin, end) for update in updates]
        out = result[name].reshape(-1)[begin:end]
        _select_from(stretch, select, out, block_bytes)

    with ThreadPoolExecutor(threads, "robust") as pool:
        for _ in pool.map(work, _parts(updates)):
            pass  # raises what a thread raised
    return result


def _parts(updates: Sequence[Parameters]) -> Iterator[tuple[str, int, int]]:
    """Ranges of numbers, by tensor."""
    for name, first in updates[0].items():
        # What is decoded by segment is decoded once.
        whole = max(flat_reader(update[name])[1] for update in updates)
        step = -(-_STRETCH // whole) * whole
        size = math.prod(first.shape)
        for begin in range(0, size, step):
            yield name, begin, min(begin + step, size)


def _select_from(stretch: Sequence[Array], select: _Select, out: Array, block_bytes: int) -> None:
    """Select from a stretch of all updates, a block at a time."""
    dtype, number = out.dtype, as_number(stretch[0].dtype)
    floating = is_floating(dtype)
    narrow = floating and dtype.itemsize < 4
    compared = np.dtype(np.float32) if narrow else as_number(dtype)
    rows = min(max(block_bytes // (len(stretch) * compared.itemsize), 1), len(out))
    # One row a number of the model: sorting short rows that lie together is what NumPy is fastest at.
    block = np.empty((rows, len(stretch)), compared)
    for begin in range(0, len(out), rows):
        end = min(begin + rows, len(out))
        filled = block[: end - begin]
        for column, values in enumerate(stretch):
            filled[:, column] = values[begin:end].view(number)
        if floating:
            filled += 0  # makes -0 a 0: sorted, they would stand in the order of the sites
        filled.sort(axis=1)
        chosen = select(filled)
        if chosen.dtype == np.float64 or dtype == np.bool_:
            out[begin:end] = rounded(chosen, dtype).view(dtype)
        else:  # one of the values themselves, which rounding could only harm
            out[begin:end] = chosen.astype(as_number(dtype)).view(dtype)
