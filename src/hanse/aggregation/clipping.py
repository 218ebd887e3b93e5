"""Means of updates of bounded length: norm bounding, and centred clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hanse.aggregation.distances import distances
from hanse.aggregation.fold import total_weight
from hanse.aggregation.weighted_sum import check_updates, lazy_weighted_sum
from hanse.core.values.parameters import Array, Parameters


def norm_bounded_mean(
    updates: Sequence[Parameters], weights: Sequence[float], norm: float
) -> dict[str, Array]:
    """Weighted mean of updates that are first scaled down to a length.

    Section 4 (norm thresholding) of Sun, Kairouz, Suresh and McMahan (2019), "Can You Really Backdoor
    Federated Learning?", https://arxiv.org/abs/1911.07963:

        sum(weight_k update_k / max(1, |update_k| / norm)) / sum(weight_k)

    All floating-point tensors together are the vector; of integers and booleans the median is taken, all
    updates alike. The updates are read twice.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite.
        weights: One weight an update; finite, at least 0. Updates of weight 0 are left out.
        norm: Largest L2 norm, above 0, in the unit of the parameters.

    Returns:
        The delta, computed where it is read; see `hanse.core.values.lazy.LazyTensor`. An update whose norm
        is beyond float64 counts as zero.

    Raises:
        UpdateError: There are no updates, they do not fit together, or have no weight.
        ValueError: A weight or the norm is out of range.
    """
    _check_norm(norm)
    check_updates(updates, "mean")
    total = total_weight(weights)
    counted = [(update, weight / total) for update, weight in zip(updates, weights, strict=True) if weight]
    taken = [update for update, _ in counted]
    shrinking = [_shrink(length, norm) for length in distances(taken)]
    return lazy_weighted_sum(
        taken, [share * factor for (_, share), factor in zip(counted, shrinking, strict=True)]
    )


def centred_clipping(updates: Sequence[Parameters], norm: float, *, iterations: int = 5) -> dict[str, Array]:
    """Mean of what is left of the updates when their distances from a centre are clipped.

    Algorithm 2 of Karimireddy, He and Jaggi (2021), "Learning from History for Byzantine Robust
    Optimization", ICML, https://arxiv.org/abs/2012.10333, of n updates:

        v = v + sum((update_k - v) min(1, norm / |update_k - v|)) / n

    The paper starts from the v of the last round, which holds because its workers send momentum. Here every
    round starts from v = 0, a model that does not change, and moves v several times: a round's result follows
    from its own updates, whatever happened before, and each round can be counted again by itself. After one
    iteration v is the norm-bounded mean. N iterations move it by N norms at most, so that `iterations` times
    `norm` had better be longer than an honest update.

    All floating-point tensors together are the vector; of integers and booleans the median is taken. `v`
    is always a weighted sum of the updates, so that only its weights are kept, and each iteration reads the
    updates once.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite. All count alike.
        norm: Largest L2 distance from the centre, above 0, in the unit of the parameters.
        iterations: At most so many, at least 1; fewer where one changes nothing.

    Returns:
        The delta, computed where it is read; see `hanse.core.values.lazy.LazyTensor`. An update whose
        distance is beyond float64 moves nothing.

    Raises:
        UpdateError: There are no updates, or they do not fit together.
        ValueError: A setting is out of range.
    """
    _check_norm(norm)
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    check_updates(updates, "mean")
    coefficients = [0.0] * len(updates)
    for _ in range(iterations):
        before = coefficients
        moved = [_shrink(distance, norm) / len(updates) for distance in distances(updates, before)]
        kept = 1 - math.fsum(moved)
        coefficients = [kept * old + new for old, new in zip(before, moved, strict=True)]
        if coefficients == before:
            break
    return lazy_weighted_sum(updates, coefficients)


def _shrink(length: float, norm: float) -> float:
    """Factor that makes a vector no longer than `norm`."""
    return 1.0 if length <= norm else norm / length


def _check_norm(norm: float) -> None:
    if not (math.isfinite(norm) and norm > 0):
        raise ValueError(f"norm must be finite and above 0, got {norm}")
