"""How many examples a batch has, whatever form its inputs and targets have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from hanse.errors import TaskError
from hanse.learners.adapters.torch_data import Cut, Examples, Passes

X = torch.zeros(10, 3)


class Batches(Dataset[Any]):
    """One batch, as a data set that gives batches."""

    def __init__(self, inputs: Any, targets: Any) -> None:
        self._batch = (inputs, targets)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: int) -> Any:
        return self._batch


def counted(inputs: Any, targets: Any) -> int:
    loader = DataLoader(Batches(inputs, targets), batch_size=None)
    passes = Passes(Examples(loader, "train"), Cut(32), torch.device("cpu"))
    return sum(batch.num_examples for batch in passes.one())


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (X, torch.zeros(10)),
        (X, {"boxes": torch.zeros(8, 4), "labels": torch.zeros(10)}),
        (X, [torch.zeros(2, 4)] * 10),
        (X, [torch.tensor(0.5), torch.zeros(10)]),
        (X, [{"boxes": torch.zeros(2, 4)}] * 10),
        ({"ids": torch.zeros(10, 7), "mask": torch.zeros(10, 7)}, torch.zeros(10)),
        ([X, X], torch.zeros(10)),
        ([torch.zeros(3, 5, 5)] * 10, [{"boxes": torch.zeros(2, 4)}] * 10),
        (object(), torch.zeros(10)),
    ],
    ids=["tensors", "lengths", "boxes", "a number beside", "dictionaries", "dict", "two", "images", "graph"],
)
def test_a_batch_has_as_many_examples_as_inputs_and_targets_have_in_common(inputs: Any, targets: Any) -> None:
    assert counted(inputs, targets) == 10


@pytest.mark.parametrize(
    ("inputs", "targets", "problem"),
    [
        (torch.zeros(5), torch.zeros(7), "inputs of length 5 and targets of length 7"),
        (
            X,
            {"one": torch.zeros(4), "two": torch.zeros(6)},
            "inputs of length 10 and targets of length 4 or 6",
        ),
        (X, torch.tensor(1.0), "the targets of a batch hold no tensor with one value or more an example"),
        (X, "a label", "the targets of a batch hold no tensor"),
    ],
)
def test_a_batch_whose_examples_cannot_be_counted_is_refused(inputs: Any, targets: Any, problem: str) -> None:
    with pytest.raises(TaskError, match=problem):
        counted(inputs, targets)
