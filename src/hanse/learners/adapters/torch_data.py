"""The examples of a torch learner: batches of pairs on the device, and how many examples there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
)

from hanse.core.values.update import Task
from hanse.errors import PlanError, TaskError
from hanse.learners.adapters.torch_arrays import array_problem
from hanse.learners.results import a_kind_of
from hanse.learners.schedule import LastBatch, Schedule, batch_sizes

DEFAULT_BATCH_SIZE = 32

Data = Dataset[Any] | DataLoader[Any] | tuple[Tensor, Tensor]
"""Pairs of inputs and targets: a data set of pairs, a loader of batches of pairs, or all as two tensors."""


class Batch(NamedTuple):
    """Some examples on the device.

    Attributes:
        inputs: As the data give them.
        targets: As the data give them.
        num_examples: How many they are, at least 1.
    """

    inputs: Any
    targets: Any
    num_examples: int


class Cut(NamedTuple):
    """Rule by which a pass is cut into batches, where the data have none of their own.

    Attributes:
        size: Examples a batch.
        last: What becomes of the last batch where it is smaller.
    """

    size: int
    last: LastBatch = "keep"

    def sizes(self, count: int) -> list[int]:
        """Examples of each batch of a pass over so many."""
        return batch_sizes(count, self.size, self.last)


class Passes:
    """Passes of one task over the data, and what it saw in them.

    Args:
        examples: The data.
        cut: How they are cut into batches.
        device: Where batches are moved.
        shuffler: Shuffles the data; None leaves their order.
    """

    def __init__(
        self,
        examples: Examples,
        cut: Cut,
        device: torch.device,
        shuffler: torch.Generator | None = None,
    ) -> None:
        self._examples = examples
        self._cut = cut
        self._device = device
        self._shuffler = shuffler
        self._whole: int | None = None
        self._seen = self._batches = 0

    def one(self) -> Iterator[Batch]:
        """Go over the data once; batches without an example are left out."""
        seen = batches = 0
        for pair in self._examples.pairs(self._cut, self._shuffler):
            inputs, targets = self._examples.checked_pair(pair)
            count = _count(inputs, targets)
            seen, batches = seen + count, batches + 1
            self._seen, self._batches = max(self._seen, seen), max(self._batches, batches)
            if count:
                yield Batch(_moved(inputs, self._device), _moved(targets, self._device), count)
        if self._whole is None:
            self._whole = seen

    @property
    def num_examples(self) -> int:
        """Examples of a whole pass: counted, or where none came to its end, as the data say."""
        if self._whole is None:
            return self._examples.size_by(self._seen, self._batches, self._cut)
        return self._examples.at_most(self._whole)


class Examples:
    """Data of one kind at one site.

    Args:
        data: The data.
        name: What they are: `train`.

    Raises:
        ValueError: They are in a form that is not known.
    """

    def __init__(self, data: Data, name: str) -> None:
        self._data = _checked_data(data, name)
        self._name = name

    def cut(self, schedule: Schedule, task: Task) -> Cut:
        """Rule by which a task cuts the data into batches.

        Raises:
            PlanError: The plan says how, and the data have batches of their own.
        """
        if isinstance(self._data, DataLoader):
            for name in sorted({"batch_size", "last_batch"} & task.settings.keys()):
                own = ", make it with `drop_last=True`" if name == "last_batch" else ""
                raise PlanError(
                    f"task {task.name} has a {name}, but the data are a DataLoader with batches of its own",
                    mend=f"Remove it from the plan{own}, or give the learner the Dataset.",
                )
        return Cut(schedule.batch_size or DEFAULT_BATCH_SIZE, schedule.last_batch)

    def joined(self, others: Iterable[Examples]) -> Examples:
        """All examples of these and of others.

        Raises:
            ValueError: They are in a `DataLoader`, whose batches are of the user's making.
        """
        parts = [self._data, *(other._data for other in others)]
        if all(isinstance(part, tuple) for part in parts):
            inputs, targets = zip(*parts, strict=True)
            return Examples((torch.cat(inputs), torch.cat(targets)), self._name)
        sets: list[Dataset[Any]] = []
        for part in parts:
            if isinstance(part, DataLoader):
                raise ValueError(f"{self._name} is a DataLoader: data can be pooled where they are a Dataset")
            sets.append(TensorDataset(*part) if isinstance(part, tuple) else part)
        return Examples(ConcatDataset(sets), self._name)

    def seed(self, seed: int) -> None:
        """Seed the generators that a `DataLoader` of the user's may have of its own."""
        if not isinstance(self._data, DataLoader):
            return
        samplers = (self._data.sampler, self._data.batch_sampler)
        parts = (self._data, *samplers, *(getattr(sampler, "sampler", None) for sampler in samplers))
        for part in parts:
            own = getattr(part, "generator", None)
            if isinstance(own, torch.Generator):
                own.manual_seed(seed)

    def pairs(self, cut: Cut, shuffler: torch.Generator | None) -> Iterable[Any]:
        """One pass over the data, batch by batch; shuffled where there is something to shuffle by."""
        data = self._data
        if isinstance(data, DataLoader):
            return data
        if not _length(data):
            return ()
        if isinstance(data, tuple):
            return _slices(*data, cut, shuffler)
        if cut.last == "keep":
            return DataLoader(data, cut.size, shuffle=shuffler is not None, generator=shuffler)
        return DataLoader(data, batch_sampler=_Batches(data, cut, shuffler), generator=shuffler)

    def checked_pair(self, batch: Any) -> tuple[Any, Any]:
        """Inputs and targets of a batch.

        Raises:
            TaskError: It is something else.
        """
        if isinstance(batch, tuple | list) and len(batch) == 2:
            return batch[0], batch[1]
        parts = f" of {len(batch)} parts" if isinstance(batch, tuple | list) else ""
        raise TaskError(
            f"a batch of the {self._name} data is {a_kind_of(batch)}{parts}, expected a pair of inputs and "
            "targets",
            mend="Weights of examples, and whatever else the loss needs, may be part of the targets, which "
            "may be a dictionary.",
        )

    def size_by(self, seen: int, batches: int, cut: Cut) -> int:
        """Examples of a pass, of which a task saw only the beginning.

        Args:
            seen: Examples seen.
            batches: In so many batches.
            cut: How they are cut into batches.
        """
        if not isinstance(self._data, DataLoader):
            return sum(cut.sizes(_length(self._data) or 0))
        if type(self._data.batch_sampler) is BatchSampler and self._data.batch_size:
            size = _length(self._data.sampler)
            if size is not None:
                whole = size // self._data.batch_size * self._data.batch_size
                return self.at_most(whole if self._data.drop_last else size)
        # Batches are of the user's making: they are as large on average as those that were seen.
        count = _length(self._data)
        return self.at_most(seen if count is None or not batches else round(seen / batches * count))

    def at_most(self, count: int) -> int:
        """A count of examples, some of which may have come twice, as a count of those that there are."""
        if not isinstance(self._data, DataLoader) or self._data.batch_sampler is None:
            return count
        known = _length(self._data.dataset)
        return count if known is None else min(count, known)


def _length(data: Any) -> int | None:
    if isinstance(data, tuple):
        return len(data[1])
    with suppress(TypeError, NotImplementedError):
        return len(data)
    return None


def _checked_data(data: Data, name: str) -> Data:
    if type(data) is TensorDataset:
        data = data.tensors  # type: ignore[assignment]  # the same examples, many at a time
    for part in data if isinstance(data, tuple) else ():
        if isinstance(part, Tensor) and (problem := array_problem(part)):
            raise ValueError(f"{name} has {problem}: give dense tensors, or a Dataset that gives them")
    match data:
        case (Tensor() as inputs, Tensor() as targets) if len(inputs) == len(targets):
            return data
        case (Tensor() as inputs, Tensor() as targets):
            raise ValueError(f"{name} has {len(inputs)} inputs and {len(targets)} targets")
        case tuple() if len(data) != 2:
            raise ValueError(
                f"{name} has {len(data)} parts, expected inputs and targets: weights of examples, and "
                "whatever else the loss needs, may be part of the targets of a Dataset, as a dictionary"
            )
        case DataLoader(dataset=IterableDataset()) | IterableDataset():
            raise ValueError(f"{name} is an IterableDataset, whose size is not known: use one with a length")
        case DataLoader() | Dataset():
            return data
    got = " and ".join(map(a_kind_of, data)) if isinstance(data, tuple) else a_kind_of(data)
    raise ValueError(f"{name} must be a Dataset, a DataLoader or two tensors (inputs, targets), got {got}")


def _slices(
    inputs: Tensor, targets: Tensor, cut: Cut, shuffler: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    sizes = cut.sizes(len(targets))
    kept = sum(sizes)
    if shuffler is None:
        yield from zip(torch.split(inputs[:kept], sizes), torch.split(targets[:kept], sizes), strict=True)
        return
    for part in torch.split(torch.randperm(len(targets), generator=shuffler)[:kept], sizes):
        yield inputs[part], targets[part]


class _Batches(Sampler[list[int]]):
    """Batches of a data set where the last one is left out, or part of the one before."""

    def __init__(self, data: Dataset[Any], cut: Cut, shuffler: torch.Generator | None) -> None:
        self._sizes = cut.sizes(_length(data) or 0)
        ordered: Any = data  # it has a length, which no type says
        self._order: Sampler[int] = (
            SequentialSampler(ordered) if shuffler is None else RandomSampler(ordered, generator=shuffler)
        )

    def __iter__(self) -> Iterator[list[int]]:
        order = iter(self._order)
        for size in self._sizes:
            yield list(islice(order, size))

    def __len__(self) -> int:
        return len(self._sizes)


def _moved(value: Any, device: torch.device) -> Any:
    match value:
        case Tensor():
            return value.to(device)
        case Mapping():
            return {name: _moved(item, device) for name, item in value.items()}
        case list() | tuple():
            return [_moved(item, device) for item in value]
        case _:
            return value


def _count(inputs: Any, targets: Any) -> int:
    """Examples in a batch: a length that inputs and targets have in common.

    Raises:
        TaskError: They have none, or several of which none is that of the targets' first tensor.
    """
    of_targets, first = _lengths(targets), _first_length(targets)
    if first is None:
        what = a_kind_of(targets)
        raise TaskError(
            f"the targets of a batch hold no tensor with one value or more an example, but {what}"
        )
    of_inputs = _lengths(inputs)
    if not of_inputs:
        return first
    common = of_inputs & of_targets
    if first in common:
        return first
    if len(common) == 1:
        return common.pop()
    raise TaskError(
        f"a batch has inputs of length {_listed(of_inputs)} and targets of length {_listed(of_targets)}: how "
        "many examples are they?",
        mend="Give batches in which the first dimension of inputs and targets is the number of examples, or "
        "a list with one item for each; a DataLoader with batch_size=None has to give batches too.",
    )


def _lengths(value: Any) -> set[int]:
    """All numbers of examples that a part of a batch may be of."""
    match value:
        case Tensor():
            return {len(value)} if value.ndim else set()
        case Mapping():
            return set[int]().union(*map(_lengths, value.values()))
        case list() | tuple():
            return {len(value)}.union(*map(_lengths, value))
        case _:
            return set()


def _first_length(targets: Any) -> int | None:
    """The length of the first tensor of targets, or of a list with an item for each example."""
    match targets:
        case Tensor():
            return len(targets) if targets.ndim else None
        case Mapping():
            return _first_length(list(targets.values()))
        case [Mapping(), *_] | []:
            return len(targets)
        case [Tensor() as first, *_] if not first.ndim or {len(item) for item in targets} != {len(first)}:
            return len(targets)
        case [first, *_]:
            return _first_length(first)
        case _:
            return None


def _listed(lengths: set[int]) -> str:
    return " or ".join(map(str, sorted(lengths)[:5]))
