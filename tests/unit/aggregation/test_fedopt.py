from collections.abc import Callable
from math import sqrt
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedopt import FedAdagrad, FedAdam, FedSgd, FedYogi
from hanse.core.values.parameters import Array, Parameters, add, specs
from hanse.errors import UpdateError
from hanse.wire.tensors import decode, encode

ADAPTIVE: list[FedAdagrad | FedAdam | FedYogi] = [
    FedAdagrad(lr=0.3, beta1=0.9, tau=1e-3),
    FedAdam(lr=0.1, beta1=0.9, beta2=0.99, tau=1e-3),
    FedYogi(lr=0.1, beta1=0.5, beta2=0.9, tau=1e-3),
]
ALL: list[ServerOptimizer] = [*ADAPTIVE, FedSgd(), FedSgd(lr=0.5, momentum=0.9)]

deltas = st.lists(st.floats(-100, 100).filter(lambda value: abs(value) > 1e-6), min_size=1, max_size=6)


def algorithm_2(optimizer: FedAdagrad | FedAdam | FedYogi, gradients: list[float]) -> float:
    """Lines 12 to 17 of Algorithm 2 of Reddi et al. 2021, on one number that starts at 1."""
    x, m, v = 1.0, 0.0, optimizer.tau**2
    for d in gradients:
        m = optimizer.beta1 * m + (1 - optimizer.beta1) * d
        match optimizer:
            case FedAdagrad():
                v = v + d**2
            case FedAdam(beta2=beta2):
                v = beta2 * v + (1 - beta2) * d**2
            case FedYogi(beta2=beta2):
                v = v - (1 - beta2) * d**2 * (1 if v > d**2 else -1 if v < d**2 else 0)
        x = x + optimizer.lr * m / (sqrt(v) + optimizer.tau)
    return x


def run(optimizer: ServerOptimizer, model: Parameters, gradients: list[Parameters]) -> Parameters:
    state: Parameters = {}
    for gradient in gradients:
        model, state = optimizer.step(model, gradient, state)
    return model


@pytest.mark.parametrize("optimizer", ADAPTIVE, ids=lambda optimizer: type(optimizer).__name__)
@given(gradients=deltas)
def test_steps_are_those_of_the_paper(
    optimizer: FedAdagrad | FedAdam | FedYogi, gradients: list[float]
) -> None:
    model = run(optimizer, {"x": np.array(1.0)}, [{"x": np.array(d)} for d in gradients])

    np.testing.assert_allclose(model["x"], algorithm_2(optimizer, gradients), rtol=1e-9)


@given(gradients=deltas)
def test_momentum_gathers_what_came_before(gradients: list[float]) -> None:
    optimizer = FedSgd(lr=0.5, momentum=0.9)
    model = run(optimizer, {"x": np.array([1.0])}, [{"x": np.array([d])} for d in gradients])

    x, m = 1.0, 0.0
    for d in gradients:
        m = 0.9 * m + d
        x += 0.5 * m
    np.testing.assert_allclose(model["x"], [x], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16], ids=str)
@given(data=st.data())
def test_plain_sgd_is_addition_to_the_bit(dtype: Any, data: st.DataObject) -> None:
    numbers = hnp.arrays(np.float64, (3,), elements=st.floats(-3e4, 3e4))
    model, delta = ({"x": data.draw(numbers).astype(dtype)} for _ in range(2))

    stepped, state = FedSgd().step(model, delta, {})

    assert stepped["x"].dtype == model["x"].dtype
    assert stepped["x"].tobytes() == add(model, delta)["x"].tobytes()
    assert state == {}


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_only_real_numbers_are_optimized(optimizer: ServerOptimizer) -> None:
    model = {"count": np.array(3), "mask": np.array([True, False]), "kept": np.array([1.0])}
    delta = {"count": np.array(4), "mask": np.array([False, True])}

    stepped, state = optimizer.step(model, delta, {})

    assert {name: array.tolist() for name, array in stepped.items()} == {
        "count": 7,
        "mask": [False, True],
        "kept": [1.0],
    }
    assert state == {}


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_a_step_changes_nothing_that_it_was_given(optimizer: ServerOptimizer) -> None:
    model, delta = {"x": np.ones(2, np.float32)}, {"x": np.ones(2, np.float32)}
    _, state = optimizer.step(model, delta, {})
    for array in (*model.values(), *delta.values(), *state.values()):
        array.flags.writeable = False

    first, second = (optimizer.step(model, delta, state) for _ in range(2))

    assert [encode(part) for part in first] == [encode(part) for part in second]


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_a_state_that_was_stored_goes_on_to_the_same_bits(optimizer: ServerOptimizer) -> None:
    model: Parameters = {"a": np.ones((2, 2), np.float16), "b": np.array(1.0)}
    delta: Parameters = {"a": np.full((2, 2), 0.25, np.float16), "b": np.array(-0.5)}
    once, state = optimizer.step(model, delta, {})

    stored = decode(encode(state))

    assert specs(stored) == specs(state)
    assert encode(optimizer.step(once, delta, stored)[0]) == encode(optimizer.step(once, delta, state)[0])


@pytest.mark.parametrize("optimizer", ADAPTIVE, ids=repr)
def test_an_update_whose_square_is_no_number_is_refused(optimizer: ServerOptimizer) -> None:
    with pytest.raises(UpdateError, match="tensor 'x' is too large to be squared"):
        optimizer.step({"x": np.zeros(1, np.float32)}, {"x": np.array([1e20], np.float32)}, {})


@pytest.mark.parametrize("optimizer", ADAPTIVE, ids=repr)
def test_half_precision_models_keep_a_wider_state(optimizer: ServerOptimizer) -> None:
    tiny: Array = np.array([1e-4], dtype=np.float16)  # its square is 0 in half precision

    stepped, state = optimizer.step({"x": np.zeros(1, np.float16)}, {"x": tiny}, {})

    assert stepped["x"].dtype == np.float16
    assert state["m/x"].dtype == state["v/x"].dtype == np.float32
    assert state["v/x"][0] > 0


def test_defaults_are_those_of_the_flamby_benchmark() -> None:
    assert FedAdam(lr=0.01) == FedAdam(lr=0.01, beta1=0.9, beta2=0.999, tau=1e-8)
    assert FedYogi(lr=0.01) == FedYogi(lr=0.01, beta1=0.9, beta2=0.999, tau=1e-8)
    assert FedAdagrad(lr=0.01) == FedAdagrad(lr=0.01, beta1=0.9, tau=1e-8)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: FedSgd(lr=0), "lr must be finite and above 0, got 0"),
        (lambda: FedSgd(lr=float("nan")), "lr must be"),
        (lambda: FedSgd(momentum=1), "momentum must be from 0 up to below 1, got 1"),
        (lambda: FedAdagrad(lr=1, beta1=-0.1), "beta1 must be"),
        (lambda: FedAdam(lr=1, beta2=1.5), "beta2 must be"),
        (lambda: FedYogi(lr=1, tau=0), "tau must be finite and above 0"),
    ],
)
def test_a_setting_out_of_range_is_told(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


@pytest.mark.parametrize("optimizer", ALL)
def test_running_statistics_become_the_mean(optimizer: ServerOptimizer) -> None:
    model = {"bn.running_var": np.ones(2), "bn.weight": np.ones(2)}
    delta = {"bn.running_var": np.full(2, -0.7), "bn.weight": np.full(2, -0.7)}
    state: Parameters = {}

    for _ in range(3):
        model, state = optimizer.step(model, delta, state)
        np.testing.assert_allclose(model["bn.running_var"], 0.3)
        delta = {"bn.running_var": np.zeros(2), "bn.weight": np.full(2, -0.7)}

    assert not any("running_var" in name for name in state)


def test_a_plan_says_which_tensors_no_gradient_trains() -> None:
    model = {"codes.usage": np.ones(1)}
    optimizer = FedSgd(lr=0.5, untrained=("codes.*",))

    after, _ = optimizer.step(model, {"codes.usage": np.ones(1)}, {})

    assert after["codes.usage"] == [2.0]
