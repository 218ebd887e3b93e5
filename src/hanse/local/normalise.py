"""FedNova: updates divided by the number of local steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hanse.core.values.groups import Group, Groups
from hanse.core.values.parameters import Array, Parameters, is_floating
from hanse.core.values.update import TaskResult

STEPS = "steps"
"""The group that holds the site's effective number of steps; float64, one number."""


@dataclass(frozen=True, slots=True)
class Normalise:
    """Divide the update by the site's effective number of steps, which leaves beside it.

    Wang et al. 2020, Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization
    (arXiv 2007.07481): the normalised gradient d_i is the accumulated one divided by ||a_i||_1, which for
    plain SGD is tau_i, the number of steps, and for SGD whose momentum rho begins at zero in every task
    (tau_i - rho (1 - rho^tau_i) / (1 - rho)) / (1 - rho). The weighted mean of the group `steps` is tau_eff
    (eq. 8), by which the workflow multiplies the mean update.

    Every floating-point tensor of the update is divided, but for those that no gradient trains, as running
    statistics of BatchNorm: these do not move in proportion to steps, and a variance that the workflow
    multiplied could fall below zero. The division costs digits: a float32 parameter w comes out within
    about tau_eff times 6e-8 |w| of what it would be without.

    Attributes:
        momentum: rho, of the local optimiser; from 0 to below 1.

    Raises:
        ValueError: `momentum` is out of its range.
    """

    name: ClassVar[str] = "normalise"
    trained_only: ClassVar[bool] = True
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be a number from 0 to below 1, got {self.momentum}")

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> _Normalised:
        """See `LocalRule`."""
        return _Normalised(self.momentum, received)


class _Normalised:
    def __init__(self, momentum: float, received: Parameters) -> None:
        self._momentum = momentum
        self._received = received

    def correct(self, name: str, gradient: Any, parameter: Any) -> Any:
        """The gradient as it is: steps are counted for all rules."""
        return gradient

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """The update divided, and what it was divided by."""
        effective = effective_steps(steps, self._momentum)
        groups: dict[str, Group] = {**result.groups, STEPS: np.array(effective, dtype=np.float64)}
        if result.parameters is None or not steps:
            return replace(result, groups=groups), {}
        divided = scaled_update(result.parameters, self._received, 1 / effective)
        return replace(result, parameters=divided, groups=groups), {}


def effective_steps(steps: int, momentum: float = 0.0) -> float:
    """||a_i||_1 of the paper's section 4: how often a site's gradients count in its update.

    Args:
        steps: Steps of the local optimiser, at least 0.
        momentum: rho; from 0 to below 1.
    """
    if not momentum:
        return float(steps)
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


def scaled_update(trained: Parameters, received: Parameters, scale: float) -> dict[str, Array]:
    """Parameters whose floating-point tensors are `scale` times as far from the received ones.

    The difference is taken in float64 and rounded once.
    """
    return {
        name: _scaled(array, received[name], scale) if is_floating(array.dtype) else array
        for name, array in trained.items()
    }


def _scaled(trained: Array, received: Array, scale: float) -> Array:
    # An infinity that training left as it was, as in the mask of an attention layer, differs by 0.
    with np.errstate(invalid="ignore"):
        change = np.subtract(trained, received, dtype=np.float64)
    unchanged = np.equal(trained, received)
    moved = np.add(received, np.where(unchanged, 0, change) * scale, dtype=np.float64)
    return np.asarray(np.where(unchanged, received, moved)).astype(trained.dtype.newbyteorder("="))
