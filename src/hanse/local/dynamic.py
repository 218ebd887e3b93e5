"""FedDyn: dynamic regularisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hanse.core.values.groups import Groups, zeros_like
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import TaskResult
from hanse.errors import TaskError
from hanse.local.arrays import Constants

_KEPT = "gradient"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Pull towards the received model, less the gradient that the site's last model ended with.

    Acar et al. 2021, Federated Learning Based on Dynamic Regularization (arXiv 2111.04263), Algorithm 1: a
    site minimises L_k(w) - <h_k, w> + alpha/2 ||w - w^{t-1}||^2 and then sets h_k to h_k - alpha (w_k^t -
    w^{t-1}), which for an exact minimiser is the gradient of L_k there (eq. 3). h_k stays at the site; the
    first one is zero. Nothing more travels than in FedAvg: the server's h follows from the mean of the
    updates in which sites count alike.

    Attributes:
        alpha: Strength of the regularisation, above 0; the paper takes 0.001 to 0.1.

    Raises:
        ValueError: `alpha` is not a finite number above 0.
    """

    name: ClassVar[str] = "dynamic"
    trained_only: ClassVar[bool] = True
    alpha: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha must be a finite number above 0, got {self.alpha}")

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> _Regularised:
        """See `LocalRule`."""
        own = kept.get(_KEPT)
        return _Regularised(self.alpha, received, own if isinstance(own, Mapping) else zeros_like(received))


class _Regularised:
    """h_k, and the model of the round before."""

    def __init__(self, alpha: float, received: Parameters, own: Parameters) -> None:
        self._alpha = alpha
        self._received = received
        self._own = own
        self._start = Constants(received)
        self._linear = Constants(own)
        self._touched: set[str] = set()

    def correct(self, name: str, gradient: Any, parameter: Any) -> Any:
        """The gradient of the regularised loss."""
        self._touched.add(name)
        pull = self._alpha * (parameter - self._start.like(name, gradient))
        return gradient - self._linear.like(name, gradient) + pull

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """h_k of this round is kept."""
        if self._touched and result.parameters is None:
            raise TaskError(
                f"the local rule {Dynamic.name} needs the trained parameters, and the task gave none",
                mend="Return them in `TaskResult.parameters`.",
            )
        trained = result.parameters or {}
        after = {
            name: self._after(name, trained[name]) if name in self._touched else np.array(own)
            for name, own in self._own.items()
        }
        return result, {_KEPT: after}

    def _after(self, name: str, trained: Array) -> Array:
        own = self._own[name]
        change = np.subtract(trained, self._received[name], dtype=np.float64)
        return np.asarray(own - self._alpha * change).astype(own.dtype)
