"""Modules that a function makes, shared by the virtual sites of a process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.personal.session import learner_session
from hanse.learners.seeding import seed_generators
from hanse.learners.torch import TorchLearner

pytestmark = pytest.mark.torch

X = torch.linspace(-1, 1, 24).reshape(12, 2)
Y = (X.sum(dim=1) > 0).long()
MADE: list[nn.Module] = []


class Fading(nn.Dropout):
    """Drops less with each batch, as its entry of the `state_dict`, which is not a tensor, says."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.p *= 0.9
        return super().forward(inputs)

    def get_extra_state(self) -> Any:
        return {"p": self.p}

    def set_extra_state(self, state: Any) -> None:
        self.p = state["p"]


class Network(nn.Module):
    """Layers with batch norm, dropout, and a buffer that is in no `state_dict`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        MADE.append(self)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        outputs: torch.Tensor = self.last(self.drop(self.norm(self.first(inputs)).relu())) * (1 + self.calls)
        return outputs


@pytest.fixture(autouse=True)
def made() -> Iterator[list[nn.Module]]:
    MADE.clear()
    yield MADE
    MADE.clear()


def learner(site: Site, model: Any, **options: Any) -> TorchLearner:
    options = {"optimizer": partial(torch.optim.Adam, lr=0.1), "device": "cpu", **options}
    part = slice(0, 8) if site.name == "a" else slice(4, 12)
    data = (X[part], Y[part])
    return TorchLearner(model, nn.CrossEntropyLoss(), train=data, validate=data, **options)


def rounds(
    folder: Path, given: Any, seed: int = 5, personal: Sequence[str] = (), **options: Any
) -> list[list[bytes]]:
    """The bits of two sites over two rounds, the first model first."""
    sessions = [
        learner_session(
            lambda site: learner(site, given(), **options),
            Site(name, DataSources(name, {}), seed=seed),
            folder / name,
            personal,
            folder / f"{name} personal",
        )
        for name in ("a", "b")
    ]
    found, model = [], sessions[0].initial_parameters()
    for number in (1, 2):
        for session in sessions:
            result = session.perform(Task("train", number, number, {"batch_size": 4}), model, sequence=number)
            found.append(bits(result))
        model = {name: np.array(array) for name, array in (result.parameters or {}).items()}
    return [[array.tobytes() for array in sessions[1].initial_parameters().values()], *found]


def bits(result: TaskResult) -> list[bytes]:
    assert result.parameters is not None
    return [array.tobytes() for array in result.parameters.values()]


def one() -> Network:
    return Network()


def fading() -> Network:
    network = Network()
    network.drop = Fading(0.5)
    return network


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_optimizer": True, "personal": ["norm.*"]},
        {"personal": ["last.*"]},
        {"personal": ["norm.*"], "exchange": ["first.*", "last.*"]},
    ],
    ids=["all", "kept optimiser, personal norm", "personal head", "norm not exchanged"],
)
def test_sites_that_share_a_module_give_the_bits_of_modules_of_their_own(
    tmp_path: Path, made: list[nn.Module], options: Any
) -> None:
    own = rounds(tmp_path / "own", lambda: lambda: Network(), **options)
    count = len(made)
    shared = rounds(tmp_path / "shared", lambda: one, **options)

    assert shared == own
    assert count == 2
    assert len(made) - count == 1


def test_sites_that_share_a_module_do_not_share_a_personal_entry_that_is_no_tensor(tmp_path: Path) -> None:
    personal = ["drop._extra_state"]

    own = rounds(tmp_path / "own", lambda: lambda: fading(), personal=personal)

    assert rounds(tmp_path / "shared", lambda: fading, personal=personal) == own


def test_a_module_of_another_seed_is_another_module(tmp_path: Path) -> None:
    first = rounds(tmp_path / "1", lambda: one, seed=5)
    other = rounds(tmp_path / "2", lambda: one, seed=6)

    assert rounds(tmp_path / "3", lambda: one, seed=5) == first
    assert other[0] != first[0]


def test_generators_are_left_as_the_function_leaves_them() -> None:
    site = Site("a", DataSources("a", {}))

    drawn = []
    for _ in range(2):
        seed_generators(5)
        learner(site, one)
        drawn.append((torch.rand(1).item(), np.random.random()))

    assert drawn[0] == drawn[1]


def test_the_first_values_are_those_of_the_fresh_module_whatever_was_trained() -> None:
    site = Site("a", DataSources("a", {}))
    seed_generators(5)
    trained = learner(site, one)
    first = {name: np.array(array) for name, array in trained.parameters().items()}

    trained.train(first, Task("train", 1, 1))

    assert all((first[name] == array).all() for name, array in trained.parameters().items())


def test_a_class_may_be_the_function(made: list[nn.Module]) -> None:
    site = Site("a", DataSources("a", {}))
    seed_generators(5)

    assert learner(site, Network).parameters().keys() >= {"first.weight"}
    assert len(made) == 1


def test_a_function_that_makes_something_else_is_refused() -> None:
    with pytest.raises(TaskError, match="the function given as `model` returned a dict"):
        learner(Site("a", DataSources("a", {})), dict)
