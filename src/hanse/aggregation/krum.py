"""Krum and multi-Krum: the updates that lie closest to most others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.aggregation.distances import squared_distances_of_pairs
from hanse.aggregation.fold import lazy_weighted_mean
from hanse.aggregation.weighted_sum import check_updates
from hanse.core.plan.robust_rules import Krum
from hanse.core.values.parameters import Array, Parameters
from hanse.errors import QuorumError


def krum(updates: Sequence[Parameters], byzantine: int, keep: int = 1) -> dict[str, Array]:
    """Mean of the updates that `chosen_by_krum` names, whole numbers and booleans included.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite. All count alike.
        byzantine: As for `chosen_by_krum`.
        keep: As for `chosen_by_krum`.

    Returns:
        The delta, computed where it is read; see `hanse.core.values.lazy.LazyTensor`.

    Raises:
        QuorumError: As `chosen_by_krum`.
        UpdateError: The updates do not fit together.
    """
    kept = [updates[number] for number in chosen_by_krum(updates, byzantine, keep)]
    return lazy_weighted_mean(kept, [1] * len(kept))


def chosen_by_krum(updates: Sequence[Parameters], byzantine: int, keep: int = 1) -> tuple[int, ...]:
    """The updates with the lowest scores, in the order given.

    Section 4 and, for more than one, section 6 (Multi-Krum) of Blanchard, El Mhamdi, Guerraoui and Stainer
    (2017), "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS,
    https://arxiv.org/abs/1703.02757. The score of an update is the sum of its squared L2 distances from the
    n - byzantine - 2 others that are closest to it, over all floating-point tensors together. Of equal
    scores, that of the earlier update counts as lower.

    Args:
        updates: Deltas with the same names, shapes and dtypes; finite.
        byzantine: Updates that may be anything, at least 0.
        keep: How many to name, at least 1.

    Returns:
        Their places, ascending.

    Raises:
        QuorumError: There are fewer than 2 * byzantine + 3 updates, which the paper's proof needs, or fewer
            than keep + byzantine, so that one of those named is none of the good ones.
        UpdateError: The updates do not fit together.
    """
    rule = Krum(byzantine=byzantine, keep=keep)
    count = len(updates)
    if count < rule.fewest:
        raise QuorumError(
            f"{rule.shown} needs the updates of {rule.fewest} sites with examples, and there are {count}",
            mend=f"Say `cohort: {{minimum: {rule.fewest}}}` in the plan, or tolerate fewer by `byzantine`.",
        )
    check_updates(updates, "Krum")
    squares = squared_distances_of_pairs(updates)
    scores = [_score(squares, number, count - byzantine - 2) for number in range(count)]
    best = sorted(range(count), key=lambda number: (scores[number], number))[:keep]
    return tuple(sorted(best))


def _score(squares: Array, number: int, closest: int) -> float:
    others = np.sort(np.delete(squares[number], number))
    return float(sum(others[:closest].tolist()))
