"""Which rule and which server optimiser a plan's `aggregation` stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hanse.aggregation.answers import aggregate_of
from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.clipping import centred_clipping, norm_bounded_mean
from hanse.aggregation.fedavg import lazy_fed_avg
from hanse.aggregation.fedopt import FedAdagrad, FedAdam, FedSgd, FedYogi
from hanse.aggregation.geometric_median import geometric_median
from hanse.aggregation.krum import krum
from hanse.aggregation.robust import median, trimmed_mean
from hanse.aggregation.running_mean import running_fed_avg
from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.robust_rules import (
    AnyRobustRule,
    CentredClipping,
    GeometricMedian,
    Krum,
    Median,
    NormBoundedMean,
    TrimmedMean,
    Weights,
)
from hanse.core.values.parameters import Array, Parameters
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
        QuorumError: There are fewer updates with examples than the rule needs.
        UpdateError: Nobody had examples, or the updates do not fit together; names the sites.
    """
    rule = aggregation.robust
    if rule is None:
        return lazy_fed_avg(updates, uniform=aggregation.rule == "mean", weighs=weighs)
    return aggregate_of(updates, lambda deltas, examples: combine(rule, deltas, examples), weighs=weighs)


def combine(rule: AnyRobustRule, deltas: Sequence[Parameters], examples: Sequence[int]) -> dict[str, Array]:
    """Combine tensors by a robust rule.

    Args:
        rule: Of the plan: `Aggregation.robust`, or that of a group.
        deltas: One round's, in site order, with the same names, shapes and dtypes; finite. Of a group, the
            values. Arrays may be memory maps or `LazyTensor`s; they are read several times.
        examples: The number of examples behind each, at least 0. Those with none are left out: they are
            zero, and would pull towards it.

    Returns:
        The tensors, with the dtypes of the first; they may be computed where they are read, from those of
        the deltas.

    Raises:
        QuorumError: There are fewer with examples than the rule needs (`rule.fewest`).
        UpdateError: They do not fit together, or none has an example.
    """
    taken = [(delta, count) for delta, count in zip(deltas, examples, strict=True) if count]
    made, counts = [delta for delta, _ in taken], [count for _, count in taken]
    match rule:
        case Median():
            return median(made)
        case TrimmedMean():
            return trimmed_mean(made, rule.trim)
        case GeometricMedian():
            weights = _weights(rule.weights, counts)
            return geometric_median(made, weights, iterations=rule.iterations, smoothing=rule.smoothing)
        case Krum():
            return krum(made, rule.byzantine, rule.keep)
        case NormBoundedMean():
            return norm_bounded_mean(made, _weights(rule.weights, counts), rule.norm)
        case CentredClipping():
            return centred_clipping(made, rule.norm, iterations=rule.iterations)


def aggregate_streamed(
    aggregation: Aggregation, updates: Iterable[Update], *, weighs: bool = True
) -> Aggregate:
    """As `aggregate`, of updates whose arrays hold until the next is taken.

    Memory does not grow with the number of updates for the rules that are means; the others copy
    every update.

    Raises:
        QuorumError: As `aggregate`.
        UpdateError: As `aggregate`, once all updates have been taken.
    """
    if aggregation.robust is None:
        return running_fed_avg(updates, uniform=aggregation.rule == "mean", weighs=weighs)
    return aggregate(aggregation, map(_copied, updates), weighs=weighs)


def _weights(weights: Weights, examples: Sequence[int]) -> Sequence[int]:
    return examples if weights == "examples" else [1] * len(examples)


def _copied(update: Update) -> Update:
    if update.delta is None:
        return update
    return replace(update, delta={name: np.array(array) for name, array in update.delta.items()})


def server_optimizer(aggregation: Aggregation) -> ServerOptimizer:
    """The optimiser that a plan names; without one, the mean update is added as it is."""
    chosen, untrained = aggregation.server_optimizer, aggregation.untrained
    if chosen is None:
        return FedSgd()
    match chosen.name:
        case "sgd":
            return FedSgd(chosen.lr, chosen.momentum, untrained)
        case "adagrad":
            return FedAdagrad(chosen.lr, chosen.beta1, chosen.tau, untrained)
        case "adam":
            return FedAdam(chosen.lr, chosen.beta1, chosen.beta2, chosen.tau, untrained)
        case "yogi":
            return FedYogi(chosen.lr, chosen.beta1, chosen.beta2, chosen.tau, untrained)
