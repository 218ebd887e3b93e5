"""SCAFFOLD: gradients corrected by control variates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hanse.core.values.groups import Group, Groups, zeros_like
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import TaskResult
from hanse.errors import TaskError
from hanse.local.arrays import Constants, as_numpy, single

CONTROL = "control"
"""The group that holds c on its way to a site, and a site's change of its c_i on the way back."""

_KEPT = "control"


@dataclass(frozen=True, slots=True)
class ControlVariates:
    """Correct each gradient by the difference between the average site's gradient and this site's.

    Karimireddy et al. 2020, SCAFFOLD: Stochastic Controlled Averaging for Federated Learning (arXiv
    1910.06378), Algorithm 1: a step is taken along g_i(y_i) - c_i + c, and afterwards c_i becomes c_i+. That
    is option II of line 12, for plain SGD c_i - c + (x - y_i) / (K eta_l), which is the mean of the raw
    gradients along the local path. This mean is what is taken, of each tensor over the steps in which it had
    a gradient, so that the rule holds with any optimiser and schedule.

    The server's c comes as the group `control`, and the site's c_i+ - c_i leaves as the group of that name,
    for the mean in which sites count alike. c_i stays at the site; the first one is zero.
    """

    name: ClassVar[str] = "control_variates"
    trained_only: ClassVar[bool] = False

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> _Variates:
        """See `LocalRule`."""
        server = groups.get(CONTROL)
        if not isinstance(server, Mapping):
            raise TaskError(
                f"the local rule {self.name} needs the group `{CONTROL}`, which the task did not receive",
                mend=f"Declare `groups: {{{CONTROL}: {{like: model}}}}` in the plan, and have the task "
                f"receive `[model, {CONTROL}]` and disclose `groups: {{{CONTROL}: mean}}`.",
            )
        lacks = sorted(zeros_like(received).keys() - server.keys())
        if lacks:
            raise TaskError(f"the group `{CONTROL}` lacks the tensor {lacks[0]!r} of the model")
        own = kept.get(_KEPT)
        return _Variates(server, own if isinstance(own, Mapping) else zeros_like(server))


class _Variates:
    """c and c_i, and the sums of the raw gradients."""

    def __init__(self, server: Parameters, own: Parameters) -> None:
        self._own = {name: own[name] for name in server}
        self._shift = Constants({name: np.subtract(server[name], own[name]) for name in server})
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def correct(self, name: str, gradient: Any, parameter: Any) -> Any:
        """Line 10 of Algorithm 1: g_i - c_i + c."""
        if name in self._sums:
            self._sums[name] += single(gradient)
        else:
            self._sums[name] = 0 + single(gradient)  # an array of its own
        self._counts[name] = self._counts.get(name, 0) + 1
        return gradient + self._shift.like(name, gradient)

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """Lines 12 to 14: c_i+ is kept, and c_i+ - c_i leaves."""
        after = {name: self._after(name) for name in self._own}
        change = {name: np.asarray(np.subtract(after[name], own)) for name, own in self._own.items()}
        groups: dict[str, Group] = {**result.groups, CONTROL: change}
        return replace(result, groups=groups), {_KEPT: after}

    def _after(self, name: str) -> Array:
        if name not in self._sums:  # frozen, or without an example
            return np.array(self._own[name])
        return as_numpy(self._sums[name] / self._counts[name], like=self._own[name])
