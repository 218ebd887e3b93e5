"""FedAvg: the mean of the updates."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.aggregation.fold import total_weight, weighted_mean, weighted_metrics
from hanse.core.update import Aggregate, Update
from hanse.errors import UpdateError


def fed_avg(updates: Iterable[Update], *, uniform: bool = False) -> Aggregate:
    """Average updates, each weighted by the examples it was made from.

    Algorithm 1 of McMahan, Moore, Ramage, Hampson and Agüera y Arcas (2017),
    "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS, https://arxiv.org/abs/1602.05629. Averaging what training changed
    is the same as averaging the trained models, as all sites start from one.

    Args:
        updates: One round's updates; folded in this order, so give them in site order.
        uniform: Weigh all updates alike (the plan's rule `mean`); metrics are
            weighted by examples all the same.

    Returns:
        The aggregate; its `delta` is None where no update has one (evaluation).

    Raises:
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    answers = tuple(updates)
    examples = [update.num_examples for update in answers]
    total = total_weight(examples)
    deltas = [update.delta for update in answers if update.delta is not None]
    if deltas and len(deltas) < len(answers):
        without = ", ".join(update.site for update in answers if update.delta is None)
        raise UpdateError(f"an update is missing from {without}, while other sites sent one")
    return Aggregate(
        num_examples=int(total),
        metrics=weighted_metrics([update.metrics for update in answers], examples),
        delta=weighted_mean(deltas, [1] * len(deltas) if uniform else examples) if deltas else None,
        sites=tuple(update.site for update in answers),
    )
