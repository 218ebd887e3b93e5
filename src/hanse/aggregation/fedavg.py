"""FedAvg: the mean of the updates."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.aggregation.answers import Combine, aggregate_of
from hanse.aggregation.fold import lazy_weighted_mean, weighted_mean
from hanse.core.values.update import Aggregate, Update


def fed_avg(updates: Iterable[Update], *, uniform: bool = False) -> Aggregate:
    """Average updates, each weighted by the examples it was made from.

    Algorithm 1 of McMahan, Moore, Ramage, Hampson and Agüera y Arcas (2017),
    "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS, https://arxiv.org/abs/1602.05629. Averaging what training changed
    is the same as averaging the trained models, as all sites start from one.

    Args:
        updates: One round's updates; folded in this order, so give them in site order.
        uniform: Weigh all updates alike that were made from any example (the plan's
            rule `mean`); metrics are weighted by examples all the same.

    Returns:
        The aggregate; its `delta` is None where no update has one (evaluation).

    Raises:
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    return _averaged(updates, uniform, weighted_mean)


def lazy_fed_avg(updates: Iterable[Update], *, uniform: bool = False, weighs: bool = True) -> Aggregate:
    """As `fed_avg`, but its delta is computed where it is read; see `hanse.core.values.lazy.LazyTensor`.

    Raises:
        UpdateError: As `fed_avg`.
    """
    return _averaged(updates, uniform, lazy_weighted_mean, weighs=weighs)


def _averaged(updates: Iterable[Update], uniform: bool, mean: Combine, *, weighs: bool = True) -> Aggregate:
    return aggregate_of(
        updates,
        lambda deltas, examples: mean(deltas, [min(n, 1) for n in examples] if uniform else examples),
        weighs=weighs,
    )
