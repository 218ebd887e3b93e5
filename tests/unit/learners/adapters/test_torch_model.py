"""A module's tensors: taken, written, read back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hanse.core.values.parameters import Parameters
from hanse.errors import TaskError, UpdateError
from hanse.learners.adapters.torch_arrays import as_arrays
from hanse.learners.adapters.torch_model import state_tensors, write_tensors

pytestmark = pytest.mark.torch

THIRDS = {"weight": np.full((1, 2), 1 / 3, np.float32), "bias": np.full(1, 1 / 3, np.float32)}


def cast(dtype: torch.dtype) -> Callable[..., None]:
    """A hook by which a `state_dict` gives copies in another dtype."""

    def hook(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        state.update({name: value.to(dtype) for name, value in state.items()})

    return hook


def cloned(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    state.update({name: value.clone() for name, value in state.items()})


class Snapshot(nn.Linear):
    """Gives what it was when it was made, over and over."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self._snapshot = OrderedDict((name, p.detach().clone()) for name, p in self.named_parameters())

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_snapshot"] if "_snapshot" in self.__dict__ else super().state_dict()


class Copies(nn.Linear):
    """Gives copies under names that nothing takes back."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return {f"net.{name}": value.clone() for name, value in super().state_dict().items()}


class Tied(nn.Module):
    """An embedding whose weights are those of the output layer, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 2)
        self.output = nn.Linear(2, 3, bias=False)
        self.output.weight = self.embedding.weight


class WithState(nn.Linear):
    """Has a state that is not a tensor, unless it is told to."""

    def __init__(self, state: Any) -> None:
        super().__init__(2, 1)
        self.state = state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


def write(model: nn.Module, arrays: Parameters) -> None:
    write_tensors(model, state_tensors(model), arrays, "the parameters")


def values(model: nn.Linear) -> list[float]:
    return [*model.weight.flatten().tolist(), *model.bias.tolist()]


def test_what_is_written_is_in_the_modules_own_memory() -> None:
    model = nn.Linear(2, 1)
    weight = model.weight

    write(model, THIRDS)

    assert model.weight is weight
    assert values(model) == [float(np.float32(1 / 3))] * 3
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_state_dict_of_copies_is_loaded_as_its_module_takes_it() -> None:
    model = nn.Linear(2, 1)
    model.register_state_dict_post_hook(cloned)

    write(model, THIRDS)

    assert values(model) == [float(np.float32(1 / 3))] * 3


def test_a_state_dict_in_half_precision_reaches_the_parameters() -> None:
    model = nn.Linear(2, 1)
    model.register_state_dict_post_hook(cast(torch.float16))

    write(model, {name: array.astype(np.float16) for name, array in THIRDS.items()})

    assert values(model) == [float(np.float16(1 / 3))] * 3


@pytest.mark.parametrize(
    ("model", "arrays"),
    [
        (Snapshot(), THIRDS),
        (Copies(2, 1), {f"net.{name}": array for name, array in THIRDS.items()}),
    ],
    ids=["a snapshot", "copies"],
)
def test_parameters_that_do_not_reach_the_module_are_refused(model: nn.Module, arrays: Parameters) -> None:
    with pytest.raises(UpdateError, match=r"weight' did not reach the torch model.*Does .* give copies"):
        write(model, arrays)


def test_what_an_override_keeps_beside_the_module_does_not_hide_the_difference() -> None:
    class Averaged(nn.Linear):
        """Gives and takes averages of its weights, which are none of its parameters."""

        def __init__(self) -> None:
            super().__init__(2, 1)
            self.kept = {name: value.detach().clone() for name, value in self.named_parameters()}

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return {name: value.clone() for name, value in self.kept.items()}

        def load_state_dict(self, state: Any, *args: Any, **kwargs: Any) -> Any:
            self.kept = {name: value.clone() for name, value in state.items()}

    model = Averaged()
    arrays = {name: array + 1 for name, array in as_arrays(state_tensors(model)).items()}

    with pytest.raises(UpdateError, match="'weight' did not reach the torch model"):
        write_tensors(model, state_tensors(model), arrays, "the parameters")


def test_a_dtype_that_the_module_cannot_hold_is_refused() -> None:
    model = nn.Linear(2, 1)
    model.register_state_dict_post_hook(cast(torch.float64))

    with pytest.raises(UpdateError, match="'weight' did not reach the torch model"):
        write(model, {"weight": np.full((1, 2), 1 / 3), "bias": np.full(1, 1 / 3)})


def test_a_hook_may_give_other_names() -> None:
    model = nn.Linear(2, 1)

    def renamed(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        state["kernel"] = state.pop("weight")

    model.register_state_dict_post_hook(renamed)

    write(model, {"kernel": THIRDS["weight"], "bias": THIRDS["bias"]})

    assert values(model) == [float(np.float32(1 / 3))] * 3


def test_tensors_that_are_one_in_the_model_have_to_be_the_same() -> None:
    model = Tied()
    ones, zeros = np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32)

    write(model, {"embedding.weight": ones, "output.weight": ones})
    assert model.embedding.weight.eq(1).all()

    with pytest.raises(
        UpdateError, match=r"'embedding\.weight' and 'output\.weight' are one tensor in the model, and two"
    ):
        write(model, {"embedding.weight": ones, "output.weight": zeros})


def test_a_buffer_that_repeats_one_number_takes_no_others() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.register_buffer("scale", torch.ones(1).expand(4))
    same = {"weight": np.ones((1, 2), np.float32), "scale": np.full(4, 2, np.float32)}

    write(model, same)
    with pytest.raises(UpdateError, match="'scale' did not reach"):
        write(model, same | {"scale": np.arange(4, dtype=np.float32)})


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, partial(torch.compile, backend="eager")], ids=["DataParallel", "compile"]
)
def test_a_wrapped_module_is_written_through_its_wrapper(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Linear(2, 1)
    wrapped = wrap(model)
    prefix = next(iter(state_tensors(wrapped))).removesuffix("weight")

    write(wrapped, {f"{prefix}{name}": array for name, array in THIRDS.items()})

    assert values(model) == [float(np.float32(1 / 3))] * 3
    with pytest.raises(UpdateError, match=f"names of the model here begin with '{prefix}'.* give the module"):
        write(wrapped, THIRDS)
    with pytest.raises(UpdateError, match=f"names of the model that was received begin with '{prefix}'"):
        write(model, {f"{prefix}{name}": array for name, array in THIRDS.items()})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the parameters do not fit the torch model: tensor 'w' is missing"),
        ({"w": np.zeros(2, np.float32), "x": np.zeros(1)}, "tensor 'x' was not expected"),
        ({"w": np.zeros((1, 2), np.float32)}, r"tensor 'w' has shape \(1, 2\), expected \(2,\)"),
        ({"w": np.zeros(2)}, "tensor 'w' has dtype float64, expected float32"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_nothing_is_written(
    arrays: dict[str, Any], message: str
) -> None:
    model = nn.ParameterDict({"w": nn.Parameter(torch.ones(2))})

    with pytest.raises(UpdateError, match=message):
        write(model, arrays)
    assert model["w"].tolist() == [1, 1]


def test_an_extra_state_that_is_a_tensor_is_exchanged() -> None:
    model = WithState(torch.tensor([1.0, 2.0]))
    arrays = as_arrays(state_tensors(model)) | {"_extra_state": np.array([3, 4], np.float32)} | THIRDS

    write(model, arrays)

    assert model.state.tolist() == [3, 4]
    assert values(model) == [float(np.float32(1 / 3))] * 3


def test_a_module_without_an_extra_state_may_say_so() -> None:
    assert state_tensors(WithState(None)).keys() == {"weight", "bias"}


def quantised() -> nn.Module:
    return torch.ao.nn.quantized.Linear(2, 1)


def with_buffer(tensor: torch.Tensor) -> nn.Module:
    model = nn.Linear(2, 1)
    model.register_buffer("special", tensor)
    return model


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: WithState({"steps": 3}), r"'_extra_state' .* is a dict, .* `personal: \[.*\]` in the plan"),
        (quantised, r"'_packed_params\.dtype' .* is a torch\.dtype, .* before it is quantised or packed"),
        (
            lambda: with_buffer(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
            r"'special' .* is a quantised tensor \(qint8\), .* before it is quantised",
        ),
        (lambda: with_buffer(torch.eye(2).to_sparse()), r"'special' .* is a sparse tensor \(sparse_coo\)"),
        (lambda: with_buffer(torch.zeros(2, dtype=torch.complex64)), "is a complex tensor"),
        (lambda: with_buffer(torch.zeros(2, device="meta")), "is a tensor without values"),
        (
            lambda: with_buffer(torch.zeros(2, dtype=torch.float8_e4m3fnuz)),
            r"'special' .* is a tensor of float8_e4m3fnuz, .* float32, float64, bfloat16",
        ),
        (lambda: nn.LazyLinear(1), "'weight' .* lazy module .* Show the model an example"),
    ],
    ids=["extra state", "packed", "quantised", "sparse", "complex", "meta", "float8", "lazy"],
)
@pytest.mark.filterwarnings("ignore")  # torch's, on what it means to give up
def test_what_cannot_be_averaged_is_refused_by_name(make: Callable[[], nn.Module], problem: str) -> None:
    with pytest.raises(TaskError, match=problem):
        state_tensors(make())
