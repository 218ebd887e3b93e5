"""FedAvgM: federated averaging with momentum at the aggregator (Hsu et al. 2019, arXiv 1909.06335).

The formula: v = momentum v + D, model = model - v, with D the mean of the sites' changes as a gradient.
The step itself is `hanse.aggregation.fedopt.FedSgd`.
"""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings


class FedAvgMSettings(Settings):
    """Settings of FedAvgM."""

    momentum: float = Field(0.9, ge=0, lt=1, description="Part of the last step that the next one repeats.")
    lr: float = Field(1.0, gt=0, description="Server learning rate.")


def _keys(settings: FedAvgMSettings) -> Keys:
    optimizer = {"name": "sgd", "lr": settings.lr, "momentum": settings.momentum}
    return {"workflow": "fedavg", "aggregation": {"server_optimizer": optimizer}}


FEDAVGM = Algorithm(
    name="fedavgm",
    field="optimisation",
    paper="Hsu et al. 2019, arXiv 1909.06335",
    travels="As FedAvg.",
    sums_suffice=True,
    stays="The data.",
    settings=FedAvgMSettings,
    keys=_keys,
)
