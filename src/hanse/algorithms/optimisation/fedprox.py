"""FedProx (Li et al. 2020, MLSys, arXiv 1812.06127).

Each site minimises its loss plus mu / 2 times the squared distance from the model that it received
(equation 2 and Algorithm 2): the local rule `proximal` adds mu (w - w_received) to each gradient. Without
stragglers and with mu = 0 it is federated averaging, to the bit.
"""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings


class FedProxSettings(Settings):
    """Settings of FedProx."""

    mu: float = Field(ge=0, description="Weight of the proximal term.")


def _keys(settings: FedProxSettings) -> Keys:
    rule = {"name": "proximal", "mu": settings.mu}
    return {"workflow": "fedavg", "tasks": {"train": {"local": [rule]}}}


FEDPROX = Algorithm(
    name="fedprox",
    field="optimisation",
    paper="Li et al. 2020, arXiv 1812.06127, Algorithm 2",
    travels="As FedAvg.",
    sums_suffice=True,
    stays="The data.",
    settings=FedProxSettings,
    keys=_keys,
    changes=("train",),
)
