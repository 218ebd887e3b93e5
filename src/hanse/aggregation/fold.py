"""Weighted means of updates, folded block by block from where they lie."""

from __future__ import annotations

import math
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hanse.aggregation.dtypes import as_number, check_alike, rounded
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Metrics
from hanse.errors import UpdateError

_BLOCK_BYTES = 512 * 1024
_WORTH_A_THREAD = 1 << 20
"""Elements of a tensor for which another thread pays."""
_THREADS = min(os.cpu_count() or 1, 8)
_NORMALISED = 2.0**-64
"""Factor of the weights of float64 numbers, so that no product and no sum overflows.

A round has fewer than 2**64 examples: no mean of finite numbers passes through an infinity. A factor that is
a power of two, the same in every round, changes no bit of a mean, except of numbers below 1e-288. Numbers of
all other dtypes are far from the largest float64.
"""


def weighted_mean(
    updates: Sequence[Parameters], weights: Sequence[float], *, block_bytes: int = _BLOCK_BYTES
) -> dict[str, Array]:
    """Mean of deltas, tensor by tensor.

    Sums are taken in float64, in the order given, and cast once: the same
    updates in the same order give the same bits, whatever the blocks and the
    number of threads. Besides the result it needs memory for two blocks a thread,
    however many updates there are; contiguous tensors, memory maps among them, are
    not copied.

    Floating-point tensors keep their dtype. Integer deltas, which wrap around
    (see `hanse.core.values.parameters`), are taken as signed and rounded to the
    nearest whole number; beyond 2**53 to the nearest float64. A boolean tensor
    is true where at least half of the weight says so.

    Args:
        updates: Deltas with the same names, shapes and dtypes.
        weights: One weight an update; finite, at least 0. Updates of weight 0 are not read.
        block_bytes: Size of the float64 accumulator; at least 8.

    Raises:
        UpdateError: The updates do not fit together, have a dtype without a
            mean (complex), or have no weight at all.
        ValueError: A weight is negative or not finite, or there are not as many as updates.
    """
    means = _means(updates, weights, block_bytes)
    return {name: _whole(mean, block_bytes) for name, mean in means.items()}


def lazy_weighted_mean(
    updates: Sequence[Parameters], weights: Sequence[float], *, total: float | None = None
) -> dict[str, Array]:
    """As `weighted_mean`, but computed where it is read; see `hanse.core.values.lazy.LazyTensor`.

    Args:
        updates: As for `weighted_mean`.
        weights: As for `weighted_mean`.
        total: What the weighted sum is divided by, where that is not the sum of the weights; above 0, and no
            less than that sum but for rounding. Weights may all be 0 then.

    Raises:
        UpdateError: As `weighted_mean`.
        ValueError: As `weighted_mean`.
    """
    return {name: mean.as_array for name, mean in _means(updates, weights, _BLOCK_BYTES, total).items()}


def weighted_metrics(metrics: Sequence[Metrics], weights: Sequence[float]) -> dict[str, float]:
    """Mean of each metric over the sites that gave it.

    Args:
        metrics: Metrics of each site; they need not have the same names.
        weights: One weight a site; at least 0.

    Returns:
        The means in the order of their names, without those that only sites of weight 0 gave. Finite
        where the metrics are, however large metrics and weights are.
    """
    given: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for numbers, weight in zip(metrics, weights, strict=True):
        for name, value in numbers.items():
            if weight:
                given[name].append((value, weight))
    return {name: _mean_number(given[name]) for name in sorted(given)}


def _mean_number(given: Sequence[tuple[float, float]]) -> float:
    """Weighted mean of numbers; finite where all of them are."""
    total = 0.0
    for _, weight in given:
        total += weight
    # To below 1/2: a large number times a large weight overflows. A power of two changes no bit.
    exponent = -1 - math.frexp(total)[1]
    folded = 0.0
    for value, weight in given:
        folded += math.ldexp(weight, exponent) * value
    mean = folded / math.ldexp(total, exponent)
    if math.isinf(mean) and all(math.isfinite(value) for value, _ in given):
        # Rounding can lead past the largest of them, which is the largest float then.
        return math.copysign(sys.float_info.max, mean)
    return mean


def total_weight(weights: Sequence[float]) -> float:
    """Sum of the weights.

    Raises:
        UpdateError: It is 0: nobody had examples.
        ValueError: A weight is negative or not finite.
    """
    for weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"a weight must be finite and at least 0, got {weight}")
    total = math.fsum(weights)
    if total == 0:
        raise UpdateError(
            f"nothing to aggregate: none of {len(weights)} sites had examples",
            mend="Check the sites' data sources.",
        )
    return total


def add_term(folded: Array, term: Array, values: Array, weight: float) -> None:
    """Add numbers of an update to a sum, in float64.

    Args:
        folded: The sum so far; changed.
        term: Room for as many numbers.
        values: The update's, of any dtype that has a mean.
        weight: Of the update.
    """
    np.copyto(term, values.view(as_number(values.dtype)))
    term *= weight * _scale(values.dtype)
    folded += term


def quotient(folded: Array, total: float, dtype: np.dtype[Any]) -> Array:
    """The mean that a sum of `add_term` comes to, in the dtype of its tensor, rounded once; changes the sum.

    Of finite numbers it is finite.
    """
    if dtype == np.float64:
        divide_finite(folded, total * _scale(dtype))
    else:
        folded /= total
    return rounded(folded, dtype).view(dtype)


def divide_finite(sums: Array, total: float) -> None:
    """Divide sums in place; a finite sum that rounding leads past the largest float64 becomes that.

    Args:
        sums: Sums of normalised numbers, float64; changed.
        total: What the weights of those numbers come to, above 0 and at most 1.
    """
    finite = np.isfinite(sums)
    with np.errstate(over="ignore"):
        sums /= total
    passed = finite & np.isinf(sums)
    if passed.any():
        sums[passed] = np.copysign(sys.float_info.max, sums[passed])


def _scale(dtype: np.dtype[Any]) -> float:
    return _NORMALISED if dtype.newbyteorder("=") == np.float64 else 1.0


def _means(
    updates: Sequence[Parameters], weights: Sequence[float], block_bytes: int, total: float | None = None
) -> dict[str, LazyTensor]:
    if len(updates) != len(weights):
        raise ValueError(f"{len(updates)} updates, but {len(weights)} weights")
    counted = list(zip(updates, weights, strict=True))
    if total is None:
        total = total_weight(weights)
        counted = [(update, weight) for update, weight in counted if weight]
    check_alike(updates, "mean")
    return {
        name: _mean([(update[name], weight) for update, weight in counted], total, block_bytes // 8)
        for name in updates[0]
    }


def _mean(parts: Sequence[tuple[Array, float]], total: float, step: int) -> LazyTensor:
    """Weighted mean of one tensor, summed `step` numbers at a time."""
    first = parts[0][0]
    dtype = first.dtype.newbyteorder("=")
    readers = [(*flat_reader(array), weight) for array, weight in parts]
    # What is decoded by block is decoded once.
    block = max(whole for _, whole, _ in readers)
    step = max(step, block)

    def read(begin: int, end: int) -> Array:
        mean = np.empty(end - begin, dtype)
        # Two buffers for all blocks: touching fresh memory costs more than the sum.
        accumulator, scratch = np.empty((2, min(step, end - begin)))
        for at in range(begin, end, step):
            until = min(at + step, end)
            folded, term = accumulator[: until - at], scratch[: until - at]
            folded.fill(0)
            for values_of, _, weight in readers:
                add_term(folded, term, values_of(at, until), weight)
            mean[at - begin : until - begin] = quotient(folded, total, dtype)
        return mean

    return LazyTensor(first.shape, dtype, read, block)


def _whole(mean: LazyTensor, block_bytes: int) -> Array:
    """The mean as an array; a large one is computed on several threads."""
    whole = np.empty(mean.size, mean.dtype)
    step = max(block_bytes // 8, mean.block)
    threads = max(1, min(_THREADS, mean.size // _WORTH_A_THREAD))

    def fill(begins: range) -> None:
        for begin in begins:
            end = min(begin + step, mean.size)
            whole[begin:end] = mean.flat_range(begin, end)

    # Every thread has every so manieth block: no number is summed in another order than by one.
    shares = [range(n * step, mean.size, threads * step) for n in range(threads)]
    if threads == 1:
        fill(shares[0])
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="fold") as pool:
            for done in [pool.submit(fill, share) for share in shares]:
                done.result()
    return whole.reshape(mean.shape)
