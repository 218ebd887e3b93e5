"""Newton's method as a workflow does it, on sums over sites at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hanse.algorithms.regression.inputs import scaled_inverse
from hanse.algorithms.regression.newton import half, step, too_far, wald


def fitted(curvature_at: Callable[[Any], Any], size: int, features: Any, *, intercept: bool) -> Any:
    """The result and the number of steps, once a step is the last."""
    beta, state = np.zeros(size), {}
    for number in range(1, 50):
        curvature = curvature_at(beta)
        if too_far(state, curvature):
            beta, state = half(state)
            continue
        inverse = scaled_inverse(curvature["information"], features, intercept=intercept)
        beta, state, last = step(beta, curvature, inverse)
        if last:
            return wald(beta, inverse), number, float(curvature["log_likelihood"])
    raise AssertionError("Newton's method has not ended")
