"""A learner from the parts of a PyTorch training script: model, loss, optimiser, data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from fnmatch import fnmatchcase
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, TaskError
from hanse.learners.adapters.torch_arrays import as_arrays, load_packed, pack, unpack
from hanse.learners.adapters.torch_data import Data, Examples, Passes
from hanse.learners.adapters.torch_model import EXTRA_STATE, extra_state, state_tensors, write_tensors
from hanse.learners.agreement import Agreement, plain
from hanse.learners.notices import notice
from hanse.learners.read_back import check_arrived, difference
from hanse.learners.schedule import Schedule

Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], "float | Tensor | None"]

_MADE: WeakSet[Optimizer] = WeakSet()
"""Every optimiser that was made for a learner."""
_TAKE_BACK = "set_extra_state() has to restore what get_extra_state() gave."


class TorchLearner:
    """Trains and evaluates a torch model at one site.

    What is exchanged is the model's `state_dict`, parameters and buffers, under its names and in its
    dtypes. Entries that are not tensors (`get_extra_state`), and tensors that cannot be averaged, are refused
    by name. What was received is read back from the model before a task begins, and the task fails where it
    is not what was written. `train` understands the settings

    - `epochs`: passes over the training data; 1 unless given,
    - `batches`: so many batches instead, reshuffled after each pass,
    - `batch_size`: examples a batch; 32 unless given; not for a `DataLoader`, which has its own,
    - `last_batch`: `keep`, `drop` or `merge`: what becomes of the last batch of a pass where it is smaller
      than the others; `merge` makes it part of the one before, for layers that cannot train on one example
      (`BatchNorm`); the only batch of a pass is kept; not for a `DataLoader` (`drop_last`),
    - `lr`: learning rate, in place of the optimiser's own, which has to be one,

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
            over the examples (see `accuracy`); None of a batch for which one is not defined, which the
            average leaves out.
        device: `cpu`, `cuda:1`, ...; `auto` is the first GPU where there is one.
        keep_optimizer: Keep the optimiser's state (moments, momentum) at the site from round to round; else
            every task begins with a new optimiser.
        personal: Patterns (`head.*`) of entries of the `state_dict` that stay at the site: they are trained,
            kept from round to round, and not exchanged. They may be what `get_extra_state` gives, of
            tensors, numbers and text.
        labels: Labels by the numbers that the targets have (`encoder.classes_`), to be compared with those
            of other sites: with the plan's, or else with those of the first model, which then carries their
            digest in one more tensor.
        features: Names of the inputs in their order (`frame.columns`); the same.

    Raises:
        ValueError: Data in a form that is not known, or a pattern that nothing fits.
        TaskError: The model has an entry that cannot be exchanged and is not personal; or `optimizer`
            returns one and the same optimiser again.
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
        labels: Iterable[Any] | None = None,
        features: Iterable[Any] | None = None,
    ) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._model = model.to(self._device)
        self._loss = loss
        self._make_optimizer = optimizer
        self._kept_optimizer = self._new_optimizer() if keep_optimizer else None
        self._train = Examples(train, "train")
        self._validate = Examples(validate, "validate")
        self._metrics = dict(metrics or {})
        state = model.state_dict()
        self._personal = _matching(state, personal)
        self._extra = {name for name in self._personal if _is_extra(name, state[name])}
        if not self._tensors(personal=False):  # what cannot be exchanged is refused before a run begins
            raise ValueError("every tensor of the model is personal: nothing would be exchanged")
        self._own = self._read_own()
        self._agreement = Agreement(plain(labels), plain(features))

    def agreement(self) -> Agreement:
        """The labels and features that were given."""
        return self._agreement

    def parameters(self) -> dict[str, Array]:
        """The tensors that are exchanged; on the CPU they are the model's own memory."""
        return as_arrays(self._tensors(personal=False))

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train by mini-batches.

        Returns:
            The trained parameters, the number of examples in the training data, and as `loss` the mean
            over the examples as they were trained on. Of a `DataLoader` the examples of a pass are
            counted, as far as there are so many in its data set; 0 where there was none to train on.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        schedule = Schedule.of(task)
        cut = self._train.cut(schedule, task)
        self._load(parameters)
        optimizer = self._kept_optimizer or self._new_optimizer()
        self._train.seed(task.seed)
        shuffler = torch.Generator().manual_seed(task.seed)
        passes = Passes(self._train, cut, self._device, shuffler)
        self._model.train()
        mean = _Mean()
        with _learning_rate(optimizer, schedule.lr, task):
            for inputs, targets, count in schedule.repeat(passes.one):
                optimizer.zero_grad()
                loss, _ = self._forward(inputs, targets)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                mean.add({"loss": loss}, count)
        self._own = self._read_own()
        if mean.count and self._stood_still(parameters):
            notice(
                f"task {task.name} trained none of the model's parameters: every one is exactly what was "
                "received. Does the optimiser hold those of another model?"
            )
        return TaskResult(passes.num_examples if mean.count else 0, mean.values(), self.parameters())

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        """Measure `loss` and the metrics on the held-out data.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        cut = self._validate.cut(Schedule.of(task, known=("batch_size",)), task)
        self._load(parameters)
        self._validate.seed(task.seed)
        self._model.eval()
        mean = _Mean()
        with torch.no_grad():
            for inputs, targets, count in Passes(self._validate, cut, self._device).one():
                loss, outputs = self._forward(inputs, targets)
                measured = {name: metric(outputs, targets) for name, metric in self._metrics.items()}
                mean.add({"loss": loss, **measured}, count)
        return TaskResult(mean.count, mean.values())

    def pooled(self, others: Sequence[TorchLearner]) -> TorchLearner:
        """See `hanse.learners.base.PoolingLearner`."""
        both = copy(self)
        both._train = self._train.joined([other._train for other in others])
        return both

    def local_state(self) -> dict[str, Parameters]:
        """The optimiser's state and what is personal, where they are kept."""
        state: dict[str, Parameters] = {}
        if self._kept_optimizer is not None:
            state["optimizer"] = pack(self._kept_optimizer.state_dict())
        return state | self._own

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        """Go on from what `local_state` gave.

        Raises:
            UpdateError: The personal tensors do not fit the model.
        """
        if self._kept_optimizer is not None:
            problem = load_packed(self._kept_optimizer, state["optimizer"], "the optimiser")
            if problem:
                notice(problem)
        self._own = {group: _copies(state.get(group, arrays)) for group, arrays in self._own.items()}
        self._write_own()

    def _stood_still(self, received: Parameters) -> bool:
        """Check that of what is exchanged and can be trained nothing was; buffers may have changed."""
        trainable = {
            parameter.data_ptr() for parameter in self._model.parameters() if parameter.requires_grad
        }
        tensors = self._tensors(personal=False)
        trained = as_arrays({name: t for name, t in tensors.items() if t.data_ptr() in trainable})
        before = {name: received[name] for name in trained}
        if not trained or any(np.may_share_memory(trained[name], before[name]) for name in trained):
            return False
        # Where buffers have not changed either, the caller of the task says so.
        return not difference(trained, before) and bool(difference(as_arrays(tensors), received))

    def _new_optimizer(self) -> Optimizer:
        made = self._make_optimizer(self._model.parameters())
        if made in _MADE:
            raise TaskError(
                "the function given as `optimizer` returned an optimiser that it has returned before, with "
                "the state of another task or site",
                mend="Make a new one in it; `keep_optimizer=True` keeps its state from round to round.",
            )
        _MADE.add(made)
        return made

    def _tensors(self, *, personal: bool) -> dict[str, Tensor]:
        tensors = state_tensors(self._model, leave=self._extra)
        return {name: tensor for name, tensor in tensors.items() if (name in self._personal) == personal}

    def _load(self, parameters: Parameters) -> None:
        # In this order: a personal tensor may be tied to one that is exchanged, whose value counts.
        self._write_own()
        write_tensors(self._model, self._tensors(personal=False), parameters, "the parameters")

    def _read_own(self) -> dict[str, Parameters]:
        """Copies of what is personal: the virtual sites of a simulation may share one module."""
        own: dict[str, Parameters] = {}
        if tensors := self._tensors(personal=True):
            own["personal"] = _copies(as_arrays(tensors))
        if self._extra:
            own["personal_state"] = _copies(pack(extra_state(self._model, self._extra)))
        return own

    def _write_own(self) -> None:
        if "personal" in self._own:
            tensors = self._tensors(personal=True)
            write_tensors(self._model, tensors, self._own["personal"], "the personal tensors kept here")
        if "personal_state" in self._own:
            self._model.load_state_dict(unpack(self._own["personal_state"]), strict=False)
            found = pack(extra_state(self._model, self._extra))
            check_arrived(found, self._own["personal_state"], "the torch model", {"": _TAKE_BACK})

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
            logit an example, in the shape of the targets or (batch, 1, ...), with targets 0 and 1.
        targets: Shape (batch, ...).

    Raises:
        ValueError: Shapes that do not go together.
    """
    if outputs.ndim == targets.ndim + 1:
        predicted = outputs.argmax(dim=1) if outputs.shape[1] > 1 else outputs.squeeze(1) > 0
    else:
        predicted = outputs > 0
    if predicted.shape != targets.shape:
        raise ValueError(
            f"outputs of shape {tuple(outputs.shape)} do not go with targets of shape {tuple(targets.shape)}"
        )
    return float((predicted == targets).double().mean())


class _Mean:
    """Means of numbers over examples."""

    def __init__(self) -> None:
        self.count = 0
        self._totals: dict[str, tuple[float, int]] = {}
        """By name, the sum and the examples that it is over."""

    def add(self, numbers: Mapping[str, float | Tensor | None], count: int) -> None:
        self.count += count
        for name, number in numbers.items():
            total, over = self._totals.get(name, (0.0, 0))
            new = (total, over) if number is None else (total + _float(number) * count, over + count)
            self._totals[name] = new

    def values(self) -> dict[str, float | None]:
        return {name: total / over if over else None for name, (total, over) in self._totals.items()}


def _float(number: float | Tensor) -> float:
    return number.item() if isinstance(number, Tensor) else float(number)


@contextmanager
def _learning_rate(optimizer: Optimizer, lr: float | None, task: Task) -> Iterator[None]:
    """Have an optimiser learn at this rate, and at its own again afterwards: other tasks may keep it."""
    groups = [group for group in optimizer.param_groups if "lr" in group]
    before = [group["lr"] for group in groups]
    if lr is not None and len(set(map(float, before))) != 1:
        raise PlanError(
            f"task {task.name} has an lr, and the optimiser has "
            + (f"several of its own: {', '.join(map(str, before))}" if before else "none that it stands for"),
            mend="Remove `lr` from the plan: the code decides.",
        )
    try:
        for group, rate in zip(groups, before, strict=True):
            group["lr"] = rate if lr is None else lr
        yield
    finally:
        for group, rate in zip(groups, before, strict=True):
            group["lr"] = rate


def _is_extra(name: str, value: Any) -> bool:
    return name.endswith(EXTRA_STATE) and not isinstance(value, Tensor)


def _copies(arrays: Parameters) -> dict[str, Array]:
    return {name: np.array(array) for name, array in arrays.items()}


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
