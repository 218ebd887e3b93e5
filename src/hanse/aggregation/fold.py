"""Weighted means of updates, folded block by block from where they lie."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from hanse.core.parameters import Array, Parameters, flat_reader, is_floating, mismatch, specs
from hanse.core.update import Metrics
from hanse.errors import UpdateError

_BLOCK_BYTES = 256 * 1024


def weighted_mean(
    updates: Sequence[Parameters], weights: Sequence[float], *, block_bytes: int = _BLOCK_BYTES
) -> dict[str, Array]:
    """Mean of deltas, tensor by tensor.

    Sums are taken in float64, in the order given, and cast once: the same
    updates in the same order give the same bits, whatever the blocks.
    Besides the result it needs memory for two blocks, however many updates
    there are; contiguous tensors, memory maps among them, are not copied.

    Floating-point tensors keep their dtype. Integer deltas, which wrap around
    (see `hanse.core.parameters`), are taken as signed and rounded to the
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
    if len(updates) != len(weights):
        raise ValueError(f"{len(updates)} updates, but {len(weights)} weights")
    total = total_weight(weights)
    _check_alike(updates)
    counted = [(update, weight) for update, weight in zip(updates, weights, strict=True) if weight]
    return {
        name: _mean([(update[name], weight) for update, weight in counted], total, block_bytes // 8)
        for name in updates[0]
    }


def weighted_metrics(metrics: Sequence[Metrics], weights: Sequence[float]) -> dict[str, float]:
    """Mean of each metric over the sites that gave it.

    Args:
        metrics: Metrics of each site; they need not have the same names.
        weights: One weight a site; at least 0.

    Returns:
        The means in the order of their names, without those that only sites of weight 0 gave.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    totals: defaultdict[str, float] = defaultdict(float)
    for given, weight in zip(metrics, weights, strict=True):
        for name, value in given.items():
            if weight:
                sums[name] += weight * value
                totals[name] += weight
    return {name: sums[name] / totals[name] for name in sorted(sums)}


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


def _check_alike(updates: Sequence[Parameters]) -> None:
    expected = specs(updates[0])
    for name, spec in expected.items():
        dtype = updates[0][name].dtype
        if not (is_floating(dtype) or dtype.kind in "iub"):
            raise UpdateError(f"tensor {name!r} has dtype {spec.dtype}, of which no mean can be taken")
    for number, update in enumerate(updates[1:], start=2):
        problem = mismatch(specs(update), expected)
        if problem:
            raise UpdateError(f"update {number} of {len(updates)} does not fit the first: {problem}")


def _mean(parts: Sequence[tuple[Array, float]], total: float, block: int) -> Array:
    """Weighted mean of one tensor, `block` elements at a time."""
    first = parts[0][0]
    dtype = first.dtype.newbyteorder("=")
    signed = _signed(dtype)
    flats = [(*flat_reader(array), weight) for array, weight in parts]
    # What is decoded by block is decoded once.
    block = max(block, *(whole for _, whole, _ in flats))
    mean = np.empty(first.size, signed)
    # Two buffers for all blocks: touching fresh memory costs more than the sum.
    accumulator, scratch = np.empty((2, min(block, first.size)))
    for begin in range(0, first.size, block):
        end = min(begin + block, first.size)
        folded, term = accumulator[: end - begin], scratch[: end - begin]
        folded.fill(0)
        for read, _, weight in flats:
            np.copyto(term, read(begin, end).view(_signed(first.dtype)))
            term *= weight
            folded += term
        folded /= total
        mean[begin:end] = _cast(folded, mean.dtype)
    return mean.view(dtype).reshape(first.shape)


def _signed(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """An unsigned delta of -1 is the largest number there is; as a signed one it is -1."""
    return np.dtype(dtype.str.replace("u", "i")) if dtype.kind == "u" else dtype


def _cast(mean: Array, dtype: np.dtype[Any]) -> Array:
    """Take a float64 mean to the dtype of its tensor, rounding once."""
    if dtype == np.bool_:
        return mean >= 0.5
    if dtype.kind == "i":
        # The largest int64 is no float64: the next one above would wrap around.
        return np.minimum(np.rint(mean), np.nextafter(2.0**63, 0)).astype(dtype)
    return mean.astype(dtype)
