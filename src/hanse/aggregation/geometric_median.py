"""Geometric median: the point from which the updates are least far, as vectors."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.aggregation.distances import distances
from hanse.aggregation.fold import total_weight
from hanse.aggregation.weighted_sum import check_updates, lazy_weighted_sum
from hanse.core.values.parameters import Array, Parameters
from hanse.errors import UpdateError


def geometric_median(
    updates: Sequence[Parameters],
    weights: Sequence[float],
    *,
    iterations: int = 5,
    smoothing: float = 1e-6,
) -> dict[str, Array]:
    """The point with the smallest weighted sum of L2 distances from the updates, nearly.

    Algorithm 2 (smoothed Weiszfeld) of Pillutla, Kakade and Harchaoui (2022), "Robust Aggregation for
    Federated Learning", IEEE Transactions on Signal Processing, https://arxiv.org/abs/1912.13445:

        beta_k = weight_k / max(smoothing, |v - update_k|)
        v = sum(beta_k update_k) / sum(beta_k)

    It starts from v = 0, a model that does not change: from the mean, one update of any length could pull v
    so far away that a few iterations do not suffice. All floating-point tensors together are the
    vector; of integers and booleans the median is taken, all updates alike. `v` is always a weighted mean of
    the updates, so that only its weights are kept, and each iteration reads the updates once.

    Updates with less than half of the weight cannot move the geometric median far, whatever they are. Where
    weights are numbers of examples, it is the sites that state them.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite.
        weights: One weight an update; finite, at least 0. Updates of weight 0 are left out.
        iterations: At most so many, at least 1; fewer where one changes nothing.
        smoothing: A distance, above 0, in the unit of the parameters: closer updates count as if they were
            so far away.

    Returns:
        The delta, computed where it is read; see `hanse.core.values.lazy.LazyTensor`. An update whose
        distance is beyond float64 has no weight.

    Raises:
        UpdateError: There are no updates, they do not fit together, have no weight, or all of them are too
            long for float64.
        ValueError: A weight or a setting is out of range.
    """
    if iterations < 1 or not smoothing > 0:
        raise ValueError(
            f"iterations must be at least 1 and smoothing above 0, got {iterations}, {smoothing}"
        )
    check_updates(updates, "geometric median")
    total = total_weight(weights)
    counted = [(update, weight / total) for update, weight in zip(updates, weights, strict=True) if weight]
    taken, alphas = [update for update, _ in counted], [alpha for _, alpha in counted]
    coefficients: list[float] | None = None
    for _ in range(iterations):
        before = coefficients
        coefficients = _next(alphas, distances(taken, before), smoothing)
        if coefficients == before:
            break
    assert coefficients is not None
    return lazy_weighted_sum(taken, coefficients)


def _next(alphas: Sequence[float], far: Sequence[float], smoothing: float) -> list[float]:
    betas = [alpha / max(smoothing, distance) for alpha, distance in zip(alphas, far, strict=True)]
    total = sum(betas)
    if total == 0:
        raise UpdateError("the updates are too long for a geometric median: their squares have no float64")
    return [beta / total for beta in betas]
