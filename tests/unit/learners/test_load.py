"""`hanse.load`: the model of a run, as arrays or in the model of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.errors import ConfigError, StorageError, UpdateError
from hanse.learners.agreement import TENSOR
from hanse.wire.tensors import write_file

MODEL = {"weight": np.array([[1, 2, 3]], np.float32), "bias": np.array([4], np.float32)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_file(tmp_path / "model.safetensors", {**MODEL, TENSOR: np.zeros(4, np.uint8)})
    return tmp_path


def as_lists(arrays: Any) -> dict[str, Any]:
    return {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.parametrize("name", ["model.safetensors", ""], ids=["file", "folder"])
def test_a_model_is_its_arrays_which_are_the_callers_own(results: Path, name: str) -> None:
    arrays = hanse.load(results / name)
    arrays["bias"] += 1

    assert as_lists(arrays) == {"bias": [5], "weight": [[1, 2, 3]]}
    assert hanse.load(str(results / name))["bias"].tolist() == [4]


def test_a_model_is_read_into_a_dictionary_of_arrays(results: Path) -> None:
    model = {name: np.zeros_like(array) for name, array in MODEL.items()}
    weight = model["weight"]

    assert hanse.load(results, into=model) is model
    assert weight.tolist() == [[1, 2, 3]]


@pytest.mark.torch
def test_a_model_is_read_into_a_torch_model(results: Path) -> None:
    torch = pytest.importorskip("torch")

    model = hanse.load(results, into=torch.nn.Linear(3, 1))

    assert model(torch.ones(1, 3)).tolist() == [[10.0]]


@pytest.mark.torch
def test_a_model_keeps_its_own_tensors_that_stayed_at_the_sites(results: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Linear(1, 2))
    body = {f"0.{name}": array for name, array in MODEL.items()}
    write_file(results / "model.safetensors", body)
    head = model[1].weight.clone()

    hanse.load(results, into=model, personal=["1.*"])

    assert model[0].bias.tolist() == [4]
    assert torch.equal(model[1].weight, head)
    with pytest.raises(UpdateError, match=r"'1\.bias' is missing.*personal=\[\.\.\.\]"):
        hanse.load(results, into=model)


@pytest.mark.torch
def test_a_torch_model_with_other_tensors_is_refused_by_name(results: Path) -> None:
    torch = pytest.importorskip("torch")

    with pytest.raises(UpdateError, match=r"'bias' was not expected.* hanse\.load\(path\) gives the arrays"):
        hanse.load(results, into=torch.nn.Linear(3, 1, bias=False))


def test_what_holds_no_arrays_is_refused(results: Path) -> None:
    with pytest.raises(TypeError, match=r"into must be a torch\.nn\.Module or a dictionary"):
        hanse.load(results, into=3)


@pytest.mark.parametrize("path", [None, 3, b"model", "a\0b"])
def test_what_is_not_a_path_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"hanse\.load: "):
        hanse.load(path)


def test_a_model_that_is_not_there_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no model .*model\.safetensors\. `hanse run export"):
        hanse.load(tmp_path)
