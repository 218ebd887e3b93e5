"""Norm bounding: updates of bounded length."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Array, Parameters, is_floating, tied_names
from hanse.core.values.update import TaskResult
from hanse.local.normalise import scaled_update


@dataclass(frozen=True, slots=True)
class Clip:
    """Scale the site's update down to a bounded length.

    McMahan et al. 2018, Learning Differentially Private Recurrent Language Models (arXiv 1710.06963),
    Algorithm 1, FlatClip; as a defence Sun et al. 2019 (arXiv 1911.07963), norm thresholding. All
    floating-point tensors are one vector, whose direction is kept; tied weights are in it once. It bounds the
    update, not each gradient: for that, see `clip_norm` of `TorchLearner`. The site's own code does it: a
    site that leaves it out is not held to it.

    Attributes:
        norm: Largest L2 norm of the update; finite, above 0, in the parameters' own unit.

    Raises:
        ValueError: `norm` is not a finite number above 0.
    """

    name: ClassVar[str] = "clip"
    trained_only: ClassVar[bool] = False
    norm: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.norm) and self.norm > 0):
            raise ValueError(f"norm must be a finite number above 0, got {self.norm}")

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> _Clipped:
        """See `LocalRule`."""
        return _Clipped(self.norm, received)


class _Clipped:
    def __init__(self, norm: float, received: Parameters) -> None:
        self._norm = norm
        self._received = received

    def correct(self, name: str, gradient: Any, parameter: Any) -> Any:
        """The gradient as it is."""
        return gradient

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """The update, scaled down where it is too long."""
        if result.parameters is None:
            return result, {}
        length = _length(result.parameters, self._received)
        if not length > self._norm:  # a NaN is refused by its tensor's name where the update is checked
            return result, {}
        shorter = scaled_update(result.parameters, self._received, self._norm / length)
        return replace(result, parameters=shorter), {}


def _length(trained: Parameters, received: Parameters) -> float:
    """L2 norm of the difference over all floating-point tensors, summed in float64."""
    total, ties = 0.0, tied_names([trained, received])
    for name, array in trained.items():
        if is_floating(array.dtype) and name not in ties:
            total += _squares(array, received[name])
    return math.sqrt(total)


def _squares(trained: Array, received: Array) -> float:
    with np.errstate(invalid="ignore"):
        change = np.asarray(np.subtract(trained, received, dtype=np.float64))
    change[np.equal(trained, received)] = 0  # an infinity that training left as it was
    return float(np.vdot(change, change))
