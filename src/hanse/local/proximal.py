"""FedProx: a pull towards the received model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import TaskResult
from hanse.local.arrays import Constants


@dataclass(frozen=True, slots=True)
class Proximal:
    """Train on the loss plus half of `mu` times the squared distance from the received model.

    Li et al. 2020, Federated Optimization in Heterogeneous Networks (arXiv 1812.06127), eq. 2:
    h_k(w; w^t) = F_k(w) + mu/2 ||w - w^t||^2. Nothing more travels than in FedAvg.

    Attributes:
        mu: Strength of the pull, at least 0, in the loss's unit by the square of the parameters'; 0 is
            FedAvg to the bit.

    Raises:
        ValueError: `mu` is not a finite number from 0 on.
    """

    name: ClassVar[str] = "proximal"
    trained_only: ClassVar[bool] = False
    mu: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mu) and self.mu >= 0):
            raise ValueError(f"mu must be a finite number from 0 on, got {self.mu}")

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> _Pull | None:
        """See `LocalRule`."""
        return _Pull(self.mu, Constants(received)) if self.mu else None


class _Pull:
    def __init__(self, mu: float, received: Constants) -> None:
        self._mu = mu
        self._received = received

    def correct(self, name: str, gradient: Any, parameter: Any) -> Any:
        """The gradient of h_k."""
        return gradient + self._mu * (parameter - self._received.like(name, gradient))

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """Nothing more leaves, and nothing is kept."""
        return result, {}
