"""The learner of a torch training script."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, TaskError, UpdateError
from hanse.learners.session import LearnerSession
from hanse.learners.torch import TorchLearner, accuracy

pytestmark = pytest.mark.torch

X = torch.linspace(-1, 1, 60).reshape(30, 2)
Y = (X.sum(dim=1) > 0).long()


class Pairs(Dataset[Any]):
    """The examples one by one."""

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[index], Y[index]


class Stream(IterableDataset[Any]):
    """Examples whose number nobody knows."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(X, Y, strict=True)


def learner(train: Any = (X, Y), validate: Any = (X, Y), **options: Any) -> TorchLearner:
    torch.manual_seed(0)
    options = {"optimizer": partial(torch.optim.Adam, lr=0.1), "device": "cpu", **options}
    return TorchLearner(
        nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(4, 2)),
        nn.CrossEntropyLoss(),
        train=train,
        validate=validate,
        **options,
    )


def train(round_number: int = 1, **settings: Any) -> Task:
    return Task("train", round_number, seed=round_number, settings=settings)


def copies(result: TaskResult) -> dict[str, Any]:
    assert result.parameters is not None
    return {name: array.copy() for name, array in result.parameters.items()}


def bits(result: TaskResult) -> list[bytes]:
    return [array.tobytes() for array in copies(result).values()]


def steps(learner: TorchLearner, **settings: Any) -> int:
    """How many batches a task trained on, as the batch norm has counted them."""
    result = learner.train(learner.parameters(), train(**settings))
    assert result.parameters is not None
    return int(result.parameters["1.num_batches_tracked"])


def test_parameters_are_the_state_dict_with_its_dtypes() -> None:
    parameters = learner().parameters()

    assert list(parameters)[:3] == ["0.weight", "0.bias", "1.weight"]
    assert parameters["0.weight"].shape == (4, 2)
    assert (parameters["1.num_batches_tracked"].dtype, parameters["1.num_batches_tracked"].shape) == (
        np.int64,
        (),
    )


def test_a_model_in_half_precision_is_exchanged_in_it() -> None:
    model = nn.Linear(2, 1).bfloat16()
    one = TorchLearner(
        model,
        nn.MSELoss(),
        partial(torch.optim.SGD, lr=0.1),
        (X.bfloat16(), Y[:, None].bfloat16()),
        (X.bfloat16(), Y[:, None].bfloat16()),
    )

    result = one.train({name: array.copy() for name, array in one.parameters().items()}, train())

    assert result.parameters is not None
    assert {array.dtype.name for array in result.parameters.values()} == {"bfloat16"}


def test_training_learns_and_evaluation_says_so() -> None:
    one = learner(metrics={"accuracy": accuracy})
    before = one.evaluate(one.parameters(), Task("evaluate", 1, 0))

    trained = one.train(one.parameters(), train(epochs=20))
    after = one.evaluate(copies(trained), Task("evaluate", 1, 0))

    assert (trained.num_examples, after.num_examples, after.parameters) == (30, 30, None)
    assert after.metrics["loss"] < before.metrics["loss"]
    assert after.metrics["accuracy"] > 0.9


def test_metrics_are_means_over_the_examples_whatever_the_batches() -> None:
    one = learner(metrics={"accuracy": accuracy, "mean": lambda outputs, targets: targets.double().mean()})
    parameters = one.parameters()

    results = [one.evaluate(parameters, Task("evaluate", 1, 0, {"batch_size": size})) for size in (7, 30)]

    assert results[0].metrics == pytest.approx(results[1].metrics, rel=1e-6)
    assert results[1].metrics["mean"] == Y.double().mean()


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        TensorDataset(X, Y),
        Pairs(),
        DataLoader(Pairs(), batch_size=10, shuffle=True),
        DataLoader(Pairs(), batch_size=10, shuffle=True, generator=torch.Generator()),
    ],
    ids=["tensors", "tensor data set", "data set", "loader", "loader with a generator"],
)
def test_a_task_done_again_gives_the_same_bits(data: Any, site: Site, tmp_path: Path) -> None:
    session = LearnerSession(lambda site: learner(data), site, tmp_path)
    start = session.initial_parameters()

    results = [bits(session.perform(train(r), start, sequence=r)) for r in (1, 1, 2, 1)]

    assert results[0] == results[1] == results[3]
    assert results[0] != results[2]


@pytest.mark.parametrize("data", [(X, Y), Pairs(), Subset(Pairs(), range(30))])
def test_settings_say_how_long_to_train(data: Any) -> None:
    assert steps(learner(data)) == 1
    assert steps(learner(data), batch_size=10) == 3
    assert steps(learner(data), batch_size=10, epochs=4) == 12
    assert steps(learner(data), batch_size=10, batches=7) == 7


def test_a_loader_has_batches_of_its_own() -> None:
    loader = DataLoader(Pairs(), batch_size=15)

    assert steps(learner(loader), epochs=2) == 4
    with pytest.raises(PlanError, match="task train has a batch_size, but the data are a DataLoader"):
        steps(learner(loader), batch_size=10)


def test_a_loader_of_a_part_counts_the_part() -> None:
    loader = DataLoader(Pairs(), batch_size=5, sampler=torch.utils.data.SubsetRandomSampler(range(10)))
    one = learner(loader)

    assert one.train(one.parameters(), train()).num_examples == 10


def test_lr_takes_the_place_of_the_optimisers_own() -> None:
    one, two = learner(), learner(optimizer=partial(torch.optim.Adam, lr=0.5))
    start = copies(TaskResult(0, {}, one.parameters()))
    torch.manual_seed(3)
    first = bits(one.train(start, train(lr=0.5)))
    torch.manual_seed(3)

    assert bits(two.train(start, train())) == first


def test_a_site_without_examples_gives_back_what_it_got() -> None:
    one = learner((X[:0], Y[:0]), (X[:0], Y[:0]))
    start = copies(TaskResult(0, {}, one.parameters()))

    result = one.train(start, train(batches=3))

    assert (result.num_examples, result.metrics) == (0, {})
    assert bits(result) == [array.tobytes() for array in start.values()]
    assert one.evaluate(start, Task("evaluate", 1, 0)).metrics == {}


def test_inputs_may_be_nested() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, inputs: dict[str, Any]) -> torch.Tensor:
            return self.layer(inputs["a"] + inputs["b"][0])

    class Nested(Pairs):
        def __getitem__(self, index: int) -> Any:
            return {"a": X[index], "b": (X[index],)}, {"y": Y[index, None].float()}

    one = TorchLearner(
        Both(),
        lambda outputs, targets: (outputs - targets["y"]).square().mean(),
        partial(torch.optim.SGD, lr=0.1),
        Nested(),
        Nested(),
    )

    assert one.evaluate(one.parameters(), Task("evaluate", 1, 0)).num_examples == 30


@pytest.mark.parametrize(
    "options",
    [{"keep_optimizer": True}, {"personal": ["4.*"]}, {"keep_optimizer": True, "personal": ["1.*"]}],
    ids=["optimiser", "personal layers", "both"],
)
def test_what_stays_at_the_site_survives_a_restart_to_the_bit(
    options: dict[str, Any], site: Site, tmp_path: Path
) -> None:
    def rounds(session_of: Callable[[], LearnerSession]) -> list[list[bytes]]:
        parameters = session_of().initial_parameters()
        results = []
        for r in (1, 2, 3):
            result = session_of().perform(train(r, batch_size=10), parameters, sequence=r)
            results.append(bits(result))
            parameters = copies(result)
        return results

    def session(name: str) -> LearnerSession:
        return LearnerSession(lambda site: learner(**options), site, tmp_path / name)

    undisturbed = session("a")
    expected = rounds(lambda: undisturbed)

    assert rounds(lambda: session("b")) == expected


def test_without_keeping_every_task_begins_with_a_new_optimiser() -> None:
    one = learner()
    start = copies(TaskResult(0, {}, one.parameters()))
    torch.manual_seed(3)
    first = bits(one.train(start, train()))
    torch.manual_seed(3)

    assert bits(one.train(start, train())) == first
    assert one.local_state() == {}


def test_personal_tensors_are_trained_and_not_exchanged() -> None:
    one = learner(personal=["4.*"])
    before = {name: array.copy() for name, array in one.local_state()["personal"].items()}

    result = one.train(copies(TaskResult(0, {}, one.parameters())), train())

    assert set(before) == {"4.weight", "4.bias"}
    assert not set(before) & set(copies(result))
    assert all((one.local_state()["personal"][name] != array).any() for name, array in before.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": Stream()}, "train is an IterableDataset"),
        ({"validate": DataLoader(Stream())}, "validate is an IterableDataset"),
        ({"train": (X, Y[1:])}, "train has 30 inputs and 29 targets"),
        ({"train": [1, 2]}, r"train must be a Dataset, a DataLoader or two tensors .* got list"),
        ({"personal": ["head.*"]}, r"no tensor of the model fits 'head\.\*'; there are: 0\.weight"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_the_learner_is_made(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner(**options)


def test_parameters_that_do_not_fit_are_refused() -> None:
    one = learner()
    wrong = {**one.parameters(), "0.bias": np.zeros(3, np.float32)}

    with pytest.raises(UpdateError, match=r"tensor '0\.bias' has shape \(3,\), expected \(4,\)"):
        one.train(wrong, train())


def test_a_loss_of_each_example_is_refused() -> None:
    one = TorchLearner(
        nn.Linear(2, 2), nn.CrossEntropyLoss(reduction="none"), torch.optim.Adam, (X, Y), (X, Y), device="cpu"
    )

    with pytest.raises(TaskError, match=r"loss of a batch has shape \(30,\), expected one number"):
        one.train(one.parameters(), train())


@pytest.mark.parametrize("task", [train(epoch=1), Task("evaluate", 1, 0, {"epochs": 1})])
def test_an_unknown_setting_is_refused(task: Task) -> None:
    one = learner()

    with pytest.raises(PlanError, match=f"task {task.name} has a setting 'epoch"):
        getattr(one, task.name)(one.parameters(), task)


@pytest.mark.parametrize(
    ("outputs", "targets", "expected"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [0, 1, 1], 2 / 3),
        ([1.5, -0.5, 0.1, -3], [1, 0, 0, 0], 0.75),
        ([[1.5], [-0.5]], [[1], [1]], 0.5),
    ],
)
def test_accuracy_is_the_share_told_right(outputs: Any, targets: Any, expected: float) -> None:
    assert accuracy(torch.tensor(outputs), torch.tensor(targets)) == pytest.approx(expected)
