"""Tensors as arrays and back."""

import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from hanse.errors import TaskError
from hanse.learners.adapters.script_values import read_model
from hanse.learners.adapters.torch_arrays import (
    array_problem,
    as_array,
    as_tensor,
    assign,
    load_packed,
    pack,
    unpack,
)
from hanse.learners.read_back import difference

pytestmark = pytest.mark.torch

DTYPES = [
    (torch.float64, np.float64),
    (torch.float32, np.float32),
    (torch.float16, np.float16),
    (torch.bfloat16, ml_dtypes.bfloat16),
    (torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn),
    (torch.float8_e5m2, ml_dtypes.float8_e5m2),
    (torch.int64, np.int64),
    (torch.uint8, np.uint8),
    (torch.bool, np.bool_),
]


@pytest.mark.parametrize(("dtype", "expected"), DTYPES)
@pytest.mark.parametrize("shape", [(3, 2), (0,), ()])
def test_a_tensor_comes_back_with_its_dtype_and_every_bit(
    dtype: torch.dtype, expected: Any, shape: tuple[int, ...]
) -> None:
    tensor = (torch.arange(6).reshape(3, 2) / 4 if shape else torch.tensor(2)).to(dtype).resize_(shape)

    array = as_array(tensor)
    again = as_tensor(array)

    assert (array.dtype, array.shape) == (np.dtype(expected), shape)
    assert again.dtype == dtype
    assert torch.equal(again.double(), tensor.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_array_is_the_tensors_own_memory(dtype: torch.dtype) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, dtype=dtype))

    as_array(parameter)[0] = 3

    assert parameter.tolist() == [3, 0]


def test_a_tensor_made_from_an_array_is_not() -> None:
    array = np.zeros(2)
    array.flags.writeable = False

    as_tensor(array)[0] = 3

    assert not array.any()


def test_what_is_assigned_keeps_its_strides_and_its_graph_to_come() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3, 2).t())

    assign(parameter, np.arange(6, dtype=np.float32).reshape(2, 3))

    assert parameter.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert parameter.stride() == (1, 2)
    assert parameter.requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: torch.optim.Adam(parameters, lr=0.1, amsgrad=True),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        lambda parameters: torch.optim.LBFGS(parameters),
        lambda parameters: torch.optim.Adagrad(parameters),
    ],
)
def test_an_optimiser_comes_back_with_every_bit_of_its_state(make: Any) -> None:
    def steps(parameter: torch.Tensor, optimizer: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):

            def loss() -> torch.Tensor:
                optimizer.zero_grad()
                value = (parameter - torch.tensor([1.0, 2.0])).square().sum()
                value.backward()
                return value

            optimizer.step(loss)

    first = torch.nn.Parameter(torch.zeros(2))
    optimizer = make([first])
    steps(first, optimizer, 2)
    second = torch.nn.Parameter(first.detach().clone())
    again = make([second])

    again.load_state_dict(
        unpack({name: array.copy() for name, array in pack(optimizer.state_dict()).items()})
    )
    steps(first, optimizer, 3)
    steps(second, again, 3)

    assert torch.equal(first, second)


@pytest.mark.parametrize("make", [torch.optim.NAdam, torch.optim.ASGD, torch.optim.Adam])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_optimiser_keeps_the_dtypes_of_its_state(make: Any, dtype: torch.dtype) -> None:
    """torch's own `load_state_dict` casts what an optimiser has in float32 to the parameters' dtype."""

    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):
            parameter.grad = torch.full((2,), 1 / 3, dtype=dtype)
            optimizer.step()

    first = torch.nn.Parameter(torch.ones(2, dtype=dtype))
    optimizer = make([first], lr=0.1)
    step(first, optimizer, 2)
    second = torch.nn.Parameter(first.detach().clone())
    again = make([second], lr=0.1)

    state = {name: array.copy() for name, array in pack(optimizer.state_dict()).items()}
    assert load_packed(again, state, "the optimiser") == ""
    step(first, optimizer, 3)
    step(second, again, 3)

    assert torch.equal(first, second)
    assert difference(pack(again.state_dict()), pack(optimizer.state_dict())) == ""


def test_a_scheduler_that_does_not_take_back_its_state_is_told() -> None:
    class Forgetful:
        steps = 0

        def state_dict(self) -> dict[str, int]:
            return {"steps": self.steps}

        def load_state_dict(self, state: dict[str, int]) -> None:
            pass

    told = load_packed(Forgetful(), pack({"steps": 3}), "the scheduler")

    assert "the scheduler has another state after a restart" in told


@pytest.mark.parametrize(
    "value", [{}, {0: {"step": 1, "x": 0.1}}, {"a": (1, [2.5, None], "b")}, {"flag": True, "nan": [1e-320]}]
)
def test_what_is_no_tensor_comes_back_as_it_was(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_what_cannot_be_kept_is_named() -> None:
    with pytest.raises(TaskError, match=r"state\.groups\.0 is a function, which cannot be kept"):
        pack({"groups": [test_what_cannot_be_kept_is_named]})


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: torch.eye(2).to_sparse(), "a sparse tensor (sparse_coo)"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "a quantised tensor (qint8)"),
        (lambda: torch.zeros(2, device="meta"), "a tensor without values (device meta)"),
        (lambda: torch.zeros(2).to(torch.float8_e4m3fnuz), "a tensor of float8_e4m3fnuz"),
        (lambda: torch.zeros(2).to(torch.float8_e4m3fn), ""),
    ],
    ids=["sparse", "quantised", "meta", "float8 that NumPy lacks", "float8"],
)
@pytest.mark.filterwarnings("ignore")  # torch's, on what is new or going
def test_a_tensor_without_an_array_is_named_in_words(make: Callable[[], torch.Tensor], problem: str) -> None:
    tensor = make()

    assert array_problem(tensor) == problem
    if problem:
        with pytest.raises(TaskError, match=re.escape(f"state.moments is {problem}")):
            pack({"moments": tensor})
        with pytest.raises(TaskError, match=re.escape(f"the entry 'w' is {problem}. Give it as a dense")):
            read_model({"w": tensor})
