"""Server optimizers: FedSgd (FedAvgM where it has momentum), FedAdagrad, FedAdam, FedYogi.

The adaptive ones are Algorithm 2 of Reddi, Charles, Zaheer, Garrett, Rush,
Konečný, Kumar and McMahan (2021), "Adaptive Federated Optimization", ICLR,
https://arxiv.org/abs/2003.00295. With the mean delta D of a round:

    m = beta1 m + (1 - beta1) D             m starts at 0
    v = v + D²                              FedAdagrad; v starts at tau²
    v = beta2 v + (1 - beta2) D²            FedAdam
    v = v - (1 - beta2) D² sign(v - D²)     FedYogi
    model = model + lr m / (sqrt(v) + tau)

Only floating-point tensors are optimized; the deltas of integer and boolean
ones, and of those that no gradient trains, are applied as they are: momentum
would carry a running variance below zero. `m` and `v` are kept in the state as
`m/<tensor>` and `v/<tensor>`, in float32, or in float64 for float64 tensors.

The defaults (beta1 0.9, beta2 0.999, tau 1e-8) are those of the benchmarks of
FLamby (Ogier du Terrail et al. 2022, https://arxiv.org/abs/2210.04620); the
paper's own experiments have beta2 0.99 and mostly tau 1e-3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hanse.aggregation.base import ServerOptimizer
from hanse.core.values.parameters import UNTRAINED, Array, Parameters, add, is_floating, personal_names
from hanse.errors import UpdateError

Step = tuple[dict[str, Array], dict[str, Array]]
"""The next model and the next state."""


@dataclass(frozen=True, slots=True)
class FedSgd(ServerOptimizer):
    """Adds the mean delta; FedAvg itself as it stands, FedAvgM with momentum.

    Momentum as in Hsu, Qi and Brown (2019), "Measuring the Effects of
    Non-Identical Data Distribution", https://arxiv.org/abs/1909.06335:
    m = momentum m + D, model = model + lr m.

    Attributes:
        lr: Server learning rate, above 0. With 1 and no momentum a step is exactly `add(model, delta)`.
        momentum: From 0 up to below 1.
        untrained: Patterns of the tensors that no gradient trains.
    """

    lr: float = 1.0
    momentum: float = 0.0
    untrained: tuple[str, ...] = UNTRAINED

    def __post_init__(self) -> None:
        _check_positive("lr", self.lr)
        _check_decay("momentum", self.momentum)

    def step(self, model: Parameters, delta: Parameters, state: Parameters) -> Step:
        """See `ServerOptimizer.step`."""
        change, next_state = dict(delta), dict(state)
        for name, gradient in _gradients(delta, self.untrained).items():
            if self.momentum:
                m = state.get(f"m/{name}", np.zeros_like(gradient))
                gradient = next_state[f"m/{name}"] = np.asarray(self.momentum * m + gradient)
            change[name] = np.asarray(self.lr * gradient)
        return add(model, change), next_state


@dataclass(frozen=True, slots=True)
class FedAdagrad(ServerOptimizer):
    """Divides by the root of the sum of all squares so far.

    Attributes:
        lr: Server learning rate, above 0.
        beta1: Decay of the first moment, from 0 up to below 1.
        tau: Degree of adaptivity, above 0; the smaller the more adaptive.
        untrained: Patterns of the tensors that no gradient trains.
    """

    lr: float
    beta1: float = 0.9
    tau: float = 1e-8
    untrained: tuple[str, ...] = UNTRAINED

    def __post_init__(self) -> None:
        _check_adaptive(self)

    def step(self, model: Parameters, delta: Parameters, state: Parameters) -> Step:
        """See `ServerOptimizer.step`."""
        return _adaptive_step(self, model, delta, state)

    def second_moment(self, v: Array, square: Array) -> Array:
        """The next `v`, from the last one and the square of the mean delta."""
        return v + square


@dataclass(frozen=True, slots=True)
class FedAdam(ServerOptimizer):
    """Divides by the root of a decaying mean of the squares.

    Attributes:
        lr: Server learning rate, above 0.
        beta1: Decay of the first moment, from 0 up to below 1.
        beta2: Decay of the second moment, from 0 up to below 1.
        tau: Degree of adaptivity, above 0; the smaller the more adaptive.
        untrained: Patterns of the tensors that no gradient trains.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    tau: float = 1e-8
    untrained: tuple[str, ...] = UNTRAINED

    def __post_init__(self) -> None:
        _check_adaptive(self)
        _check_decay("beta2", self.beta2)

    def step(self, model: Parameters, delta: Parameters, state: Parameters) -> Step:
        """See `ServerOptimizer.step`."""
        return _adaptive_step(self, model, delta, state)

    def second_moment(self, v: Array, square: Array) -> Array:
        """The next `v`, from the last one and the square of the mean delta."""
        return self.beta2 * v + (1 - self.beta2) * square


@dataclass(frozen=True, slots=True)
class FedYogi(ServerOptimizer):
    """As FedAdam, but the second moment moves by no more than the newest square.

    Attributes:
        lr: Server learning rate, above 0.
        beta1: Decay of the first moment, from 0 up to below 1.
        beta2: Decay of the second moment, from 0 up to below 1.
        tau: Degree of adaptivity, above 0; the smaller the more adaptive.
        untrained: Patterns of the tensors that no gradient trains.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    tau: float = 1e-8
    untrained: tuple[str, ...] = UNTRAINED

    def __post_init__(self) -> None:
        _check_adaptive(self)
        _check_decay("beta2", self.beta2)

    def step(self, model: Parameters, delta: Parameters, state: Parameters) -> Step:
        """See `ServerOptimizer.step`."""
        return _adaptive_step(self, model, delta, state)

    def second_moment(self, v: Array, square: Array) -> Array:
        """The next `v`, from the last one and the square of the mean delta."""
        moved: Array = v - (1 - self.beta2) * square * np.sign(v - square)
        return moved


_Adaptive = FedAdagrad | FedAdam | FedYogi


def _adaptive_step(optimizer: _Adaptive, model: Parameters, delta: Parameters, state: Parameters) -> Step:
    change, next_state = dict(delta), dict(state)
    for name, gradient in _gradients(delta, optimizer.untrained).items():
        m = state.get(f"m/{name}", np.zeros_like(gradient))
        v = state.get(f"v/{name}", np.full_like(gradient, optimizer.tau**2))
        # Without `asarray` a zero-dimensional tensor would come back as a bare number.
        m = np.asarray(optimizer.beta1 * m + (1 - optimizer.beta1) * gradient)
        with np.errstate(over="ignore"):
            v = np.asarray(optimizer.second_moment(v, np.square(gradient)))
        if not np.isfinite(v).all():  # it would divide every later update to zero
            raise UpdateError(
                f"the mean update of tensor {name!r} is too large to be squared",
                mend="Leave `server_optimizer` out, or take `aggregation: {rule: median}`, which no single "
                "update moves far.",
            )
        change[name] = np.asarray(optimizer.lr * m / (np.sqrt(v) + optimizer.tau))
        next_state |= {f"m/{name}": m, f"v/{name}": v}
    return add(model, change), next_state


def _gradients(delta: Parameters, untrained: tuple[str, ...]) -> dict[str, Array]:
    """The trained floating-point tensors, so wide that squares of half-precision numbers do not vanish."""
    passed = personal_names(delta, untrained)
    return {
        name: array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32, copy=False)
        for name, array in delta.items()
        if is_floating(array.dtype) and name not in passed
    }


def _check_adaptive(optimizer: _Adaptive) -> None:
    _check_positive("lr", optimizer.lr)
    _check_decay("beta1", optimizer.beta1)
    _check_positive("tau", optimizer.tau)


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def _check_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be from 0 up to below 1, got {value}")
