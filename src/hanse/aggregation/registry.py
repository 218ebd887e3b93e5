"""Which server optimiser is built for a plan's `server_optimizer`."""

from __future__ import annotations

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedopt import FedAdagrad, FedAdam, FedSgd, FedYogi
from hanse.core.plan import Aggregation


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
