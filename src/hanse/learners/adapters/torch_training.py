"""Steps of a torch learner: optimiser, schedule of its learning rate, mixed precision, clipping."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task
from hanse.errors import PlanError, TaskError
from hanse.learners.adapters.torch_arrays import load_packed, pack, unpack
from hanse.learners.notices import notice
from hanse.local.applied import rules_of

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
Precision = Literal["bfloat16", "float16"]
Interval = Literal["batch", "epoch", "round"]

_MADE: WeakSet[Optimizer] = WeakSet()
"""Every optimiser that was made for a learner."""


@dataclass(frozen=True, slots=True)
class Stepping:
    """Training of a model, apart from model, loss and data.

    Attributes:
        optimizer: Makes an optimiser from the model's parameters.
        scheduler: Makes a schedule of the optimiser's learning rate; None leaves the rate as it is.
        interval: When the schedule makes a step: after each batch, each pass, or each task.
        clip_norm: Largest L2 norm of all gradients together; None leaves them as they are.
        amp: The dtype of mixed precision; None computes in the model's own.

    Raises:
        ValueError: A value out of its range.
    """

    optimizer: MakeOptimizer
    scheduler: Callable[[Optimizer], LRScheduler] | None = None
    interval: Interval = "round"
    clip_norm: float | None = None
    amp: Precision | None = None

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be a number above 0, got {self.clip_norm}")
        if self.amp not in (None, *get_args(Precision)):
            raise ValueError(f"amp must be one of {', '.join(get_args(Precision))}, got {self.amp!r}")
        if self.interval not in get_args(Interval):
            raise ValueError(
                f"scheduler_interval must be one of {', '.join(get_args(Interval))}, got {self.interval!r}"
            )

    def autocast(self, device: torch.device) -> Any:
        """The context in which a batch goes forward."""
        return nullcontext() if self.amp is None else torch.autocast(device.type, getattr(torch, self.amp))


class Descent:
    """An optimiser of a model, with what belongs to it.

    Args:
        model: The model.
        stepping: How it is trained.
        device: Where it is.

    Raises:
        TaskError: The optimiser is one that was made before.
        ValueError: The schedule is one that needs a metric.
    """

    def __init__(self, model: nn.Module, stepping: Stepping, device: torch.device) -> None:
        self._stepping = stepping
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._optimizer = _new(stepping.optimizer(model.parameters()))
        self._scheduler = None if stepping.scheduler is None else stepping.scheduler(self._optimizer)
        if isinstance(self._scheduler, ReduceLROnPlateau):
            raise ValueError(
                "scheduler made a ReduceLROnPlateau, which needs a metric: take a schedule of the step alone"
            )
        self._scaler = torch.amp.GradScaler(device.type) if stepping.amp == "float16" else None

    def zero_grad(self) -> None:
        """Forget the gradients of the batch before."""
        self._optimizer.zero_grad()

    def step(self, loss: Tensor, task: Task) -> bool:
        """Make one step down a loss: local rules, then clipping, then the optimiser.

        Returns:
            Whether a step was made; float16 leaves out one whose gradients overflow.
        """
        scaler = self._scaler
        if scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            self._prepare(task)
            self._optimizer.step()
            made = True
        else:
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(self._optimizer)
            # The scaler leaves such a step out; a rule that summed its gradients would not get over it.
            made = all(bool(p.grad.isfinite().all()) for p in self._with_gradient())
            if made:
                self._prepare(task)
            scaler.step(self._optimizer)
            scaler.update()
        self._schedule("batch")
        return made

    def passes(self, one_pass: Callable[[], Iterable[Any]]) -> Callable[[], Iterator[Any]]:
        """The same passes over the data, with a step of the schedule after each whole one."""

        def scheduled() -> Iterator[Any]:
            yield from one_pass()
            self._schedule("epoch")

        return scheduled

    def end_task(self) -> None:
        """Make the step of the schedule that follows a task."""
        self._schedule("round")

    @contextmanager
    def learning_rate(self, lr: float | None, task: Task) -> Iterator[None]:
        """Have the optimiser learn at this rate, and at its own again afterwards: other tasks may keep it.

        Raises:
            PlanError: There is a rate, and the optimiser has several, none or a schedule.
        """
        if self._scheduler is not None:
            if lr is not None:
                raise PlanError(
                    f"task {task.name} has an lr, and the learner has a scheduler, which decides on it",
                    mend="Remove `lr` from the plan.",
                )
            yield
            return
        groups = [group for group in self._optimizer.param_groups if "lr" in group]
        before = [group["lr"] for group in groups]
        if lr is not None and len(set(map(float, before))) != 1:
            raise PlanError(
                f"task {task.name} has an lr, and the optimiser has "
                + (
                    f"several of its own: {', '.join(map(str, before))}"
                    if before
                    else "none that it stands for"
                ),
                mend="Remove `lr` from the plan: the code decides.",
            )
        try:
            for group, rate in zip(groups, before, strict=True):
                group["lr"] = rate if lr is None else lr
            yield
        finally:
            for group, rate in zip(groups, before, strict=True):
                group["lr"] = rate

    def state(self, *, moments: bool) -> dict[str, Parameters]:
        """State for the next task, in named groups of arrays of the optimiser's own memory.

        Args:
            moments: Whether the optimiser's state is part of it, beside its schedule's and the scaler's.
        """
        state: dict[str, Parameters] = {}
        if moments:
            state["optimizer"] = pack(self._optimizer.state_dict())
        if self._scheduler is not None:
            state["scheduler"] = pack(self._scheduler.state_dict())
            if not moments:  # the rates that the schedule has come to stand in the optimiser
                state["scheduled"] = pack(self._optimizer.state_dict()["param_groups"])
        if self._scaler is not None:
            state["scaler"] = pack(self._scaler.state_dict())
        return state

    def restore(self, state: Mapping[str, Parameters], *, moments: bool) -> None:
        """Continue from what `state` gave; says so in the site's log where a part does not take it back."""
        if moments:
            self._load(self._optimizer, state["optimizer"], "the optimiser")
        if self._scheduler is not None and "scheduler" in state:
            if "scheduled" in state:
                groups = unpack(state["scheduled"])
                self._optimizer.load_state_dict({"state": {}, "param_groups": groups})
            self._load(self._scheduler, state["scheduler"], "the scheduler")
        if self._scaler is not None and "scaler" in state:
            self._load(self._scaler, state["scaler"], "the scaler")

    def _load(self, holder: Any, arrays: Parameters, what: str) -> None:
        if problem := load_packed(holder, arrays, what):
            notice(problem)

    def _with_gradient(self) -> list[Any]:
        groups = self._optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.grad is not None]

    def _prepare(self, task: Task) -> None:
        """Correct and clip the gradients that the optimiser is about to step along."""
        if rules_of(task) is not None:
            named = {self._names[id(p)]: p for p in self._with_gradient() if id(p) in self._names}
            gradients = {name: parameter.grad for name, parameter in named.items()}
            corrected = task.correct(gradients, named)
            for name, gradient in gradients.items():
                if corrected[name] is not gradient:
                    gradient.copy_(corrected[name])
        if self._stepping.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._with_gradient(), self._stepping.clip_norm)

    def _schedule(self, interval: Interval) -> None:
        if self._scheduler is None or self._stepping.interval != interval:
            return
        with warnings.catch_warnings():
            # A site without examples makes no step, and its schedule keeps up with those of the others.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self._scheduler.step()


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """The way from inputs and targets to a loss.

    Attributes:
        model: The model.
        loss: Mean loss of a batch, from the model's outputs and the targets.
        stepping: In which precision.
        device: Where the model is.
        channels_last: Whether images have their channels last in memory.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    stepping: Stepping
    device: torch.device
    channels_last: bool = False

    def __call__(self, inputs: Any, targets: Any) -> tuple[Tensor, Any]:
        """The loss of a batch, and the model's outputs.

        Raises:
            TaskError: The loss is not one number.
        """
        if self.channels_last:
            inputs = with_channels_last(inputs)
        with self.stepping.autocast(self.device):
            outputs = self.model(inputs)
            loss = self.loss(outputs, targets)
        if loss.numel() != 1:
            raise TaskError(
                f"the loss of a batch has shape {tuple(loss.shape)}, expected one number",
                mend="Use a loss with reduction='mean'.",
            )
        return loss, outputs

    def measured(self, batches: Iterable[tuple[Any, Any, int]], metrics: Mapping[str, Any]) -> Mean:
        """The means of `loss` and metrics over batches, of the model as it is."""
        self.model.eval()
        mean = Mean()
        with torch.no_grad():
            for inputs, targets, count in batches:
                loss, outputs = self(inputs, targets)
                measured = {name: metric(outputs, targets) for name, metric in metrics.items()}
                mean.add({"loss": loss, **measured}, count)
        return mean


class Mean:
    """Means of numbers over examples.

    Attributes:
        count: Examples so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._totals: dict[str, tuple[float, int]] = {}
        """By name, the sum and the examples that it is over."""

    def add(self, numbers: Mapping[str, float | Tensor | None], count: int) -> None:
        """Add numbers that are means over so many examples; None where one is not defined for them."""
        self.count += count
        for name, number in numbers.items():
            total, over = self._totals.get(name, (0.0, 0))
            new = (total, over) if number is None else (total + _float(number) * count, over + count)
            self._totals[name] = new

    def values(self) -> dict[str, float | None]:
        """The means by name; None where a number was never defined."""
        return {name: total / over if over else None for name, (total, over) in self._totals.items()}


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


def with_channels_last(value: Any) -> Any:
    """The same inputs with the channels of images last in memory."""
    match value:
        case Tensor() if value.ndim == 4:
            return value.to(memory_format=torch.channels_last)
        case Mapping():
            return {name: with_channels_last(item) for name, item in value.items()}
        case list() | tuple():
            return [with_channels_last(item) for item in value]
        case _:
            return value


def _new(made: Optimizer) -> Optimizer:
    if made in _MADE:
        raise TaskError(
            "the function given as `optimizer` returned an optimiser that it has returned before, with the "
            "state of another task or site",
            mend="Make a new one in it; `keep_optimizer=True` keeps its state from round to round.",
        )
    _MADE.add(made)
    return made


def _float(number: float | Tensor) -> float:
    return number.item() if isinstance(number, Tensor) else float(number)
