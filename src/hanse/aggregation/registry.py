"""Which rule and which server optimiser a plan's `aggregation` stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hanse.aggregation.answers import aggregate_of
from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedavg import lazy_fed_avg
from hanse.aggregation.fedopt import FedAdagrad, FedAdam, FedSgd, FedYogi
from hanse.aggregation.robust import median, trimmed_mean
from hanse.aggregation.running_mean import running_fed_avg
from hanse.core.plan.aggregation import Aggregation
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Aggregate, Update


def aggregate(aggregation: Aggregation, updates: Iterable[Update], *, weighs: bool = True) -> Aggregate:
    """Combine a round's answers by the rule that a plan names.

    Args:
        aggregation: Of the plan.
        updates: One round's updates, in site order.
        weighs: Whether there has to be an example, as for whatever is weighed by their number.

    Returns:
        The aggregate. Tensors of its delta may be computed where they are read, from those of
        the updates; see `hanse.core.values.lazy.LazyTensor`.

    Raises:
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    match aggregation.rule:
        case "weighted_mean":
            return lazy_fed_avg(updates, weighs=weighs)
        case "mean":
            return lazy_fed_avg(updates, uniform=True, weighs=weighs)
        case "median":
            return aggregate_of(
                updates, lambda deltas, examples: median(_taught(deltas, examples)), weighs=weighs
            )
        case "trimmed_mean":
            trim = aggregation.trim or 0.0
            return aggregate_of(
                updates, lambda deltas, examples: trimmed_mean(_taught(deltas, examples), trim), weighs=weighs
            )


def aggregate_streamed(
    aggregation: Aggregation, updates: Iterable[Update], *, weighs: bool = True
) -> Aggregate:
    """As `aggregate`, of updates whose arrays hold until the next is taken.

    Memory does not grow with the number of updates for the rules that are means; the others copy
    every update.

    Raises:
        UpdateError: As `aggregate`, once all updates have been taken.
    """
    match aggregation.rule:
        case "weighted_mean":
            return running_fed_avg(updates, weighs=weighs)
        case "mean":
            return running_fed_avg(updates, uniform=True, weighs=weighs)
        case "median" | "trimmed_mean":
            return aggregate(aggregation, map(_copied, updates), weighs=weighs)


def _taught(deltas: Sequence[Parameters], examples: Sequence[int]) -> list[Parameters]:
    """The deltas behind which there is an example: the others are zero, and would pull towards it."""
    return [delta for delta, count in zip(deltas, examples, strict=True) if count]


def _copied(update: Update) -> Update:
    if update.delta is None:
        return update
    return replace(update, delta={name: np.array(array) for name, array in update.delta.items()})


def server_optimizer(aggregation: Aggregation) -> ServerOptimizer:
    """The optimiser that a plan names; without one, the mean update is added as it is."""
    chosen = aggregation.server_optimizer
    if chosen is None:
        return FedSgd()
    match chosen.name:
        case "sgd":
            return FedSgd(chosen.lr, chosen.momentum)
        case "adagrad":
            return FedAdagrad(chosen.lr, chosen.beta1, chosen.tau)
        case "adam":
            return FedAdam(chosen.lr, chosen.beta1, chosen.beta2, chosen.tau)
        case "yogi":
            return FedYogi(chosen.lr, chosen.beta1, chosen.beta2, chosen.tau)
