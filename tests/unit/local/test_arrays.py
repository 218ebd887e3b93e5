"""Arrays of several frameworks in one arithmetic."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hanse.core.values.update import Task, TaskResult
from hanse.local import Clip, ControlVariates, Dynamic, Normalise, Proximal
from hanse.local.applied import AppliedRules

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

RULES = [ControlVariates(), Proximal(0.25), Dynamic(0.5), Clip(100.0)]


def through(dtype: Any, to: Any, back: Any) -> tuple[Any, ...]:
    """A step of all rules on 1 to 4: corrected gradient, parameters, what leaves, what is kept."""
    model = {"w": np.arange(1, 5).astype(dtype)}
    rules = AppliedRules(RULES)
    task = Task("train", 1, 1, {}, {"control": {"w": np.full(4, 0.5).astype(dtype)}})
    rules.begin(task, model, {})
    corrected = rules.correct({"w": to(model["w"])}, {"w": to(model["w"] + np.ones(4, dtype))})["w"]
    assert back(corrected).dtype == dtype
    trained = model["w"] - back(corrected)
    result, kept = rules.end(TaskResult(1, {}, {"w": trained.astype(dtype)}))
    assert result.parameters is not None
    change, linear = result.groups["control"]["w"], kept["dynamic"]["gradient"]["w"]
    assert change.dtype == linear.dtype == result.parameters["w"].dtype == dtype
    found = (back(corrected), result.parameters["w"], change, linear)
    return tuple(np.asarray(array, np.float64).tolist() for array in found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16], ids=str)
def test_torch_gives_the_numbers_of_numpy(dtype: Any) -> None:
    numpy = through(dtype, lambda array: array, lambda array: array)
    torches = through(dtype, lambda array: torch.from_numpy(array.copy()), lambda tensor: tensor.numpy())

    assert torches == numpy
    assert numpy[0] == [2.25, 3.25, 4.25, 5.25]  # gradient + 0.5 + 0.25 * 1 + 0.5 * 1


def test_bfloat16_passes_in_both() -> None:
    def to(array: Any) -> Any:
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)

    numpy = through(ml_dtypes.bfloat16, lambda array: array, lambda array: array)
    torches = through(
        ml_dtypes.bfloat16, to, lambda tensor: tensor.float().numpy().astype(ml_dtypes.bfloat16)
    )

    assert torches == numpy


def test_a_corrected_gradient_has_no_graph_and_keeps_its_dtype() -> None:
    rules = AppliedRules([Proximal(1.0), Normalise()])
    rules.begin(Task("train", 1, 1), {"w": np.zeros(2, np.float32)}, {})
    parameter = torch.ones(2, requires_grad=True)

    corrected = rules.correct({"w": torch.ones(2)}, {"w": parameter})["w"]

    assert not corrected.requires_grad
    assert corrected.dtype == torch.float32


def test_a_sparse_gradient_is_refused() -> None:
    rules = AppliedRules([Proximal(1.0)])
    rules.begin(Task("train", 1, 1), {"w": np.zeros((2, 2), np.float32)}, {})

    with pytest.raises(Exception, match="the gradient of 'w' is sparse"):
        rules.correct({"w": torch.ones(2, 2).to_sparse()}, {"w": torch.ones(2, 2)})
