"""FedPer: the last layers stay at the site (Arivazhagan et al. 2019, arXiv 1912.00818)."""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.core.values.schema import Pattern


class FedPerSettings(Settings):
    """Settings of FedPer."""

    tensors: tuple[Pattern, ...] = Field(
        min_length=1,
        max_length=1000,
        description="Patterns of the tensors of the personalisation layers: `[head.*]`.",
    )


def _keys(settings: FedPerSettings) -> Keys:
    return {"workflow": "fedavg", "personal": list(settings.tensors)}


FEDPER = Algorithm(
    name="fedper",
    field="personalisation",
    paper="Arivazhagan et al. 2019, arXiv 1912.00818, Algorithms 1 and 2",
    travels="As FedAvg, without the personalisation layers.",
    sums_suffice=True,
    stays="The data; the personalisation layers.",
    settings=FedPerSettings,
    keys=_keys,
)
