"""FedAdagrad, FedAdam and FedYogi (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2).

The steps themselves are in `hanse.aggregation.fedopt`.
"""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings


class FedOptSettings(Settings):
    """Settings of an adaptive optimiser at the aggregator."""

    lr: float = Field(gt=0, description="Server learning rate.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment (not of Adagrad).")
    tau: float = Field(1e-8, gt=0, description="Degree of adaptivity.")


def _algorithm(name: str, optimizer: str) -> Algorithm:
    def keys(settings: FedOptSettings) -> Keys:
        chosen = {"name": optimizer, **settings.model_dump()}
        return {"workflow": "fedavg", "aggregation": {"server_optimizer": chosen}}

    return Algorithm(
        name=name,
        field="optimisation",
        paper="Reddi et al. 2021, arXiv 2003.00295, Algorithm 2",
        travels="As FedAvg.",
        sums_suffice=True,
        stays="The data.",
        settings=FedOptSettings,
        keys=keys,
    )


FEDADAGRAD = _algorithm("fedadagrad", "adagrad")
FEDADAM = _algorithm("fedadam", "adam")
FEDYOGI = _algorithm("fedyogi", "yogi")
