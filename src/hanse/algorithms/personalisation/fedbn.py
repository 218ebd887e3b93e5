"""FedBN: batch normalisation stays at the site (Li et al. 2021, ICLR, arXiv 2102.07623, Algorithm 1)."""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.core.values.schema import Pattern


class FedBNSettings(Settings):
    """Settings of FedBN."""

    tensors: tuple[Pattern, ...] = Field(
        min_length=1,
        max_length=1000,
        description="Patterns of the tensors of the layers of batch normalisation: `[*.bn*]`.",
    )


def _keys(settings: FedBNSettings) -> Keys:
    return {"workflow": "fedavg", "personal": list(settings.tensors)}


FEDBN = Algorithm(
    name="fedbn",
    field="personalisation",
    paper="Li et al. 2021, arXiv 2102.07623, Algorithm 1",
    travels="As FedAvg, without the tensors of batch normalisation.",
    sums_suffice=True,
    stays="The data; scale, shift and running statistics of batch normalisation.",
    settings=FedBNSettings,
    keys=_keys,
)
