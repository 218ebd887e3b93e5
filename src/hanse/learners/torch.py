"""A learner from the parts of a PyTorch training script: model, loss, optimiser, data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, TaskError
from hanse.learners.schedule import Schedule
from hanse.learners.torch_arrays import as_arrays, assign_all, pack, state_tensors, unpack

DEFAULT_BATCH_SIZE = 32

Data = Dataset[Any] | DataLoader[Any] | tuple[Tensor, Tensor]
"""Pairs of inputs and targets: a data set of pairs, a loader of batches of pairs, or all as two tensors."""

Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], "float | Tensor"]


class TorchLearner:
    """Trains and evaluates a torch model at one site.

    What is exchanged is the model's `state_dict`, parameters and buffers, under its names and in its
    dtypes. `train` understands the settings

    - `epochs`: passes over the training data; 1 unless given,
    - `batches`: so many batches instead, reshuffled after each pass,
    - `batch_size`: examples a batch; 32 unless given; not for a `DataLoader`, which has its own,
    - `lr`: learning rate, in place of the optimiser's own,

    and `evaluate` understands `batch_size`. Training data are shuffled by the task's seed (a `DataLoader`
    shuffles as it was made to, its generator seeded with it), so that a task done again gives the same
    bits on the same machine; on a GPU as far as `torch.use_deterministic_algorithms` is obeyed.

    Args:
        model: The model; moved to `device` and changed in place.
        loss: Mean loss of a batch, from the model's outputs and the targets; one number.
        optimizer: Makes the optimiser from the model's parameters: `partial(torch.optim.Adam, lr=1e-3)`.
        train: Data to train on.
        validate: Held-out data.
        metrics: Further numbers that `evaluate` reports, each from outputs and targets of a batch, averaged
            over the examples (see `accuracy`).
        device: `cpu`, `cuda:1`, ...; `auto` is the first GPU where there is one.
        keep_optimizer: Keep the optimiser's state (moments, momentum) at the site from round to round; else
            every task begins with a new optimiser.
        personal: Patterns (`head.*`) of tensors that stay at the site: they are trained, kept from round to
            round, and not exchanged.

    Raises:
        ValueError: Data in a form that is not known, or a pattern that no tensor fits.
    """

    # More than six parameters, as they are what a training script consists of.
    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        train: Data,
        validate: Data,
        *,
        metrics: Mapping[str, Metric] | None = None,
        device: str | torch.device = "auto",
        keep_optimizer: bool = False,
        personal: Sequence[str] = (),
    ) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._model = model.to(self._device)
        self._loss = loss
        self._make_optimizer = optimizer
        self._kept_optimizer = self._new_optimizer() if keep_optimizer else None
        self._train = _checked_data(train, "train")
        self._validate = _checked_data(validate, "validate")
        self._metrics = dict(metrics or {})
        self._personal = _matching(state_tensors(model), personal)

    def parameters(self) -> dict[str, Array]:
        """The tensors that are exchanged; on the CPU they are the model's own memory."""
        return as_arrays(self._tensors(personal=False))

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train by mini-batches.

        Returns:
            The trained parameters, the number of examples in the training data, and as `loss` the mean
            over the examples as they were trained on.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        schedule = Schedule.of(task)
        batch_size = _batch_size(self._train, schedule, task)
        self._load(parameters)
        optimizer = self._kept_optimizer or self._new_optimizer()
        if schedule.lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr
        _seed_loader(self._train, task.seed)
        shuffler = torch.Generator().manual_seed(task.seed)
        self._model.train()
        mean = _Mean()
        for inputs, targets in schedule.repeat(
            lambda: _batches(self._train, batch_size, self._device, shuffler)
        ):
            optimizer.zero_grad()
            loss, _ = self._forward(inputs, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            mean.add({"loss": loss}, _count(targets))
        return TaskResult(_size(self._train), mean.values(), self.parameters())

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        """Measure `loss` and the metrics on the held-out data.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        batch_size = _batch_size(self._validate, Schedule.of(task, known=("batch_size",)), task)
        self._load(parameters)
        _seed_loader(self._validate, task.seed)
        self._model.eval()
        mean = _Mean()
        with torch.no_grad():
            for inputs, targets in _batches(self._validate, batch_size, self._device):
                loss, outputs = self._forward(inputs, targets)
                measured = {name: metric(outputs, targets) for name, metric in self._metrics.items()}
                mean.add({"loss": loss, **measured}, _count(targets))
        return TaskResult(mean.count, mean.values())

    def local_state(self) -> dict[str, Parameters]:
        """The optimiser's state and the personal tensors, where they are kept."""
        state: dict[str, Parameters] = {}
        if self._kept_optimizer is not None:
            state["optimizer"] = pack(self._kept_optimizer.state_dict())
        if self._personal:
            state["personal"] = as_arrays(self._tensors(personal=True))
        return state

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        """Go on from what `local_state` gave.

        Raises:
            UpdateError: The personal tensors do not fit the model.
        """
        if self._kept_optimizer is not None:
            self._kept_optimizer.load_state_dict(unpack(state["optimizer"]))
        if self._personal:
            assign_all(self._tensors(personal=True), state["personal"], "the personal tensors kept here")

    def _new_optimizer(self) -> Optimizer:
        return self._make_optimizer(self._model.parameters())

    def _tensors(self, *, personal: bool) -> dict[str, Tensor]:
        tensors = state_tensors(self._model)
        return {name: tensor for name, tensor in tensors.items() if (name in self._personal) == personal}

    def _load(self, parameters: Parameters) -> None:
        assign_all(self._tensors(personal=False), parameters, "the parameters")

    def _forward(self, inputs: Any, targets: Any) -> tuple[Tensor, Any]:
        outputs = self._model(inputs)
        loss = self._loss(outputs, targets)
        if loss.numel() != 1:
            raise TaskError(
                f"the loss of a batch has shape {tuple(loss.shape)}, expected one number",
                mend="Use a loss with reduction='mean'.",
            )
        return loss, outputs


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """Share of a batch that is classified right, 0 to 1.

    Args:
        outputs: Scores of each class, shape (batch, classes, ...), with class numbers as targets; or one
            logit an example, in the shape of the targets, with targets 0 and 1.
        targets: Shape (batch, ...).
    """
    predicted = outputs.argmax(dim=1) if outputs.ndim > targets.ndim else outputs > 0
    return float((predicted == targets).double().mean())


class _Mean:
    """Means of numbers over examples."""

    def __init__(self) -> None:
        self.count = 0
        self._totals: dict[str, float] = {}

    def add(self, numbers: Mapping[str, float | Tensor], count: int) -> None:
        self.count += count
        for name, number in numbers.items():
            self._totals[name] = self._totals.get(name, 0.0) + _float(number) * count

    def values(self) -> dict[str, float]:
        return {name: total / self.count for name, total in self._totals.items()}


def _float(number: float | Tensor) -> float:
    return number.item() if isinstance(number, Tensor) else float(number)


def _checked_data(data: Data, name: str) -> Data:
    if type(data) is TensorDataset and len(data.tensors) == 2:
        data = (data.tensors[0], data.tensors[1])  # the same examples, many at a time
    match data:
        case (Tensor() as inputs, Tensor() as targets) if len(inputs) == len(targets):
            return data
        case (Tensor() as inputs, Tensor() as targets):
            raise ValueError(f"{name} has {len(inputs)} inputs and {len(targets)} targets")
        case DataLoader(dataset=IterableDataset()) | IterableDataset():
            raise ValueError(f"{name} is an IterableDataset, whose size is not known: use one with a length")
        case DataLoader() | Dataset():
            return data
    raise ValueError(
        f"{name} must be a Dataset, a DataLoader or two tensors (inputs, targets), got {type(data).__name__}"
    )


def _size(data: Data) -> int:
    if isinstance(data, DataLoader):
        return len(data.sampler)  # type: ignore[arg-type]  # a subset's sampler counts the subset
    return len(data[1]) if isinstance(data, tuple) else len(data)  # type: ignore[arg-type]


def _batch_size(data: Data, schedule: Schedule, task: Task) -> int:
    if schedule.batch_size is not None and isinstance(data, DataLoader):
        raise PlanError(
            f"task {task.name} has a batch_size, but the data are a DataLoader with a batch size of its own",
            mend="Remove it from the plan, or give the learner the Dataset.",
        )
    return schedule.batch_size or DEFAULT_BATCH_SIZE


def _seed_loader(data: Data, seed: int) -> None:
    """Seed the generators that a `DataLoader` of the user's may have of its own."""
    if isinstance(data, DataLoader):
        for own in (data.generator, getattr(data.sampler, "generator", None)):
            if own is not None:
                own.manual_seed(seed)


def _batches(
    data: Data, batch_size: int, device: torch.device, shuffler: torch.Generator | None = None
) -> Iterator[tuple[Any, Any]]:
    """One pass over the data, on the device; shuffled where there is something to shuffle by."""
    pairs: Iterable[tuple[Any, Any]]
    if not _size(data):
        return
    if isinstance(data, tuple):
        pairs = _slices(*data, batch_size, shuffler)
    elif isinstance(data, DataLoader):
        pairs = data
    else:
        pairs = DataLoader(data, batch_size, shuffle=shuffler is not None, generator=shuffler)
    for inputs, targets in pairs:
        yield _moved(inputs, device), _moved(targets, device)


def _slices(
    inputs: Tensor, targets: Tensor, batch_size: int, shuffler: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    if shuffler is None:
        yield from zip(torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True)
        return
    for part in torch.split(torch.randperm(len(targets), generator=shuffler), batch_size):
        yield inputs[part], targets[part]


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


def _count(targets: Any) -> int:
    """Examples in a batch: the length of the first tensor of its targets."""
    match targets:
        case Tensor():
            return len(targets)
        case Mapping():
            return _count(list(targets.values()))
        case [first, *_]:
            return _count(first)
        case _:
            raise TaskError(f"the targets of a batch hold no tensor but a {type(targets).__name__}")


def _matching(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
    """The names that fit one of the patterns; each pattern must fit one."""
    known = list(names)
    found: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in known if fnmatchcase(name, pattern)}
        if not fitting:
            raise ValueError(f"no tensor of the model fits {pattern!r}; there are: {', '.join(known[:20])}")
        found |= fitting
    return found
