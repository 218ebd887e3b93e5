"""A learner from the parts of a PyTorch training script: model, loss, optimiser, data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError
from hanse.learners.adapters.personal_patterns import note_kept, stated_patterns
from hanse.learners.adapters.torch_arrays import as_arrays
from hanse.learners.adapters.torch_data import DEFAULT_BATCH_SIZE, Cut, Data, Examples, Passes
from hanse.learners.adapters.torch_modules import Placing, placed
from hanse.learners.adapters.torch_tensors import copies
from hanse.learners.adapters.torch_training import (
    Descent,
    Forward,
    Interval,
    Mean,
    Precision,
    Stepping,
    accuracy,
)
from hanse.learners.agreement import Agreement, plain
from hanse.learners.notices import notice
from hanse.learners.schedule import Schedule

__all__ = ["TorchLearner", "accuracy"]

Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], "float | Tensor | None"]

_CARRIED = ("scheduler", "scheduled", "scaler")
"""Groups of the local state that are kept where the optimiser is not."""
_PERSONALISED, _FINETUNED = "personalised", "finetuned"
"""Groups of the local state with the models that stay at the site."""


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

    and `evaluate` understands `batch_size`. Two more tasks train a model that stays at the site, each from a
    new optimiser and schedule, with the same settings; they give the metrics of `evaluate` for that model:

    - `personalise` continues from the model that it kept here, the first time from the received one. With
      `local: [{name: proximal, mu: 0.1}]` in the plan it is Ditto (Li et al. 2021, arXiv 2012.04221,
      Algorithm 1), which pulls the site's model towards the received one.
    - `finetune` begins with the received model, and keeps what it comes to.

    In each step come, after `backward`, the plan's local rules, then `clip_norm`, then the optimiser.
    Training data are shuffled by the task's seed (a `DataLoader` shuffles as it was made to, its generator
    seeded with it), so that a task done again gives the same bits on the same machine; on a GPU as far as
    `torch.use_deterministic_algorithms` is obeyed.

    Args:
        model: The model; moved to `device` and changed in place. Or a function that makes it: the virtual
            sites of a simulation then share one module, which every task fills with what is the site's.
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
        personal: Of 0.1, and refused: what stays at a site stands under `personal` in the plan. What
            `get_extra_state` gives, of tensors, numbers and text, may stay there too.
        exchange: Patterns of the entries that are exchanged (`["*lora_*"]`), unless they are personal by the
            plan. The others have to be frozen, and alike at every site.
        scheduler: Makes a schedule from the optimiser: `partial(StepLR, step_size=10)`. It continues from
            round to round, whether or not the optimiser is kept.
        scheduler_interval: When the schedule makes a step: after each `batch`, `epoch` or `round`.
        clip_norm: Largest L2 norm of all gradients of a step together; longer ones are scaled down.
        amp: `bfloat16` or `float16`: the forward pass is in mixed precision, with a `GradScaler` for float16,
            whose state is kept from round to round. Parameters keep their dtype.
        channels_last: Keep images and convolutions with their channels last in memory.
        labels: Labels by the numbers that the targets have (`encoder.classes_`), to be compared with those
            of other sites: with the plan's, or else with those of the first model, which then carries their
            digest in one more tensor.
        features: Names of the inputs in their order (`frame.columns`); the same.

    Raises:
        ValueError: Data in a form that is not known, a pattern that nothing fits, a tensor that would be
            trained and is neither exchanged nor personal, or an option out of its range.
        PlanError: `personal` is given.
        TaskError: The model has an entry that cannot be exchanged and is not personal; or `optimizer`
            returns one and the same optimiser again.
    """

    # More than six parameters, as they are what a training script consists of.
    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss: Loss,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        train: Data,
        validate: Data,
        *,
        metrics: Mapping[str, Metric] | None = None,
        device: str | torch.device = "auto",
        keep_optimizer: bool = False,
        personal: Sequence[str] = (),
        exchange: Sequence[str] = ("*",),
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        scheduler_interval: Interval = "round",
        clip_norm: float | None = None,
        amp: Precision | None = None,
        channels_last: bool = False,
        labels: Iterable[Any] | None = None,
        features: Iterable[Any] | None = None,
    ) -> None:
        if personal:
            raise PlanError(
                "TorchLearner no longer takes `personal`: the plan says which tensors stay at a site",
                mend=f"Leave it out, and write in the plan: personal: {json.dumps(list(personal))}",
            )
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._stepping = Stepping(optimizer, scheduler, scheduler_interval, clip_norm, amp)
        placing = Placing(self._device, channels_last, tuple(exchange), stated_patterns())
        made = placed(model, placing)
        self._model, self._tensors, self._first = made.module, made.tensors, made.first
        self._forward = Forward(made.module, loss, self._stepping, self._device, channels_last)
        self._kept = self._descent() if keep_optimizer else None
        self._carried: dict[str, Parameters] = {}
        self._train = Examples(train, "train")
        self._validate = Examples(validate, "validate")
        self._metrics = dict(metrics or {})
        self._own = dict(made.own)
        note_kept(self._tensors.kept_as_state)
        self._models: dict[str, Parameters] = {}
        self._agreement = Agreement(plain(labels), plain(features))

    def agreement(self) -> Agreement:
        """The labels and features that were given."""
        return self._agreement

    def parameters(self) -> Parameters:
        """The tensors that are exchanged or personal; on the CPU they are the model's own memory.

        Of a model that a function made, they are those that it was made with.
        """
        return as_arrays(self._tensors.all()) if self._first is None else self._first

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
        self._tensors.load(parameters, self._own)
        descent = self._kept
        if descent is None:
            descent = self._descent()
            descent.restore(self._carried, moments=False)
        mean, examples = self._fit(descent, schedule, cut, task)
        if descent is not self._kept:
            self._carried = {group: copies(arrays) for group, arrays in descent.state(moments=False).items()}
        self._own = self._tensors.read_own()
        if mean.count and self._tensors.stood_still(parameters):
            notice(
                f"task {task.name} trained none of the model's parameters: every one is exactly what was "
                "received. Does the optimiser hold those of another model?"
            )
        return TaskResult(examples, mean.values(), as_arrays(self._tensors.all()))

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        """Measure `loss` and the metrics on the held-out data.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        cut = self._validate.cut(Schedule.of(task, known=("batch_size",)), task)
        self._tensors.load(parameters, self._own)
        mean = self._measured(cut, task)
        return TaskResult(mean.count, mean.values())

    def personalise(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train the model that stays here, and measure it; nothing of it is in the result.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters`, or the model kept here, do not fit the model.
        """
        return self._trained_here(parameters, task, _PERSONALISED, self._models.get(_PERSONALISED))

    def finetune(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train the received model on, keep what it comes to, and measure it; nothing of it is in the result.

        Raises:
            PlanError: A setting that is not known.
            UpdateError: `parameters` do not fit the model.
        """
        return self._trained_here(parameters, task, _FINETUNED, None)

    def pooled(self, others: Sequence[TorchLearner]) -> TorchLearner:
        """See `hanse.learners.base.PoolingLearner`."""
        both = copy(self)
        both._train = self._train.joined([other._train for other in others])
        return both

    def local_state(self) -> dict[str, Parameters]:
        """The state of optimiser, schedule and scaler, extra states, and models that stay here."""
        state = self._carried if self._kept is None else self._kept.state(moments=True)
        return {**state, **self._own, **self._models}

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        """Continue from what `local_state` gave.

        Raises:
            UpdateError: A personal extra state did not reach the model.
        """
        if self._kept is not None:
            self._kept.restore(state, moments=True)
        self._carried = {group: copies(state[group]) for group in _CARRIED if group in state}
        self._models = {
            group: copies(state[group]) for group in (_PERSONALISED, _FINETUNED) if group in state
        }
        self._own = {group: copies(state.get(group, arrays)) for group, arrays in self._own.items()}
        self._tensors.write_own(self._own)

    def _descent(self) -> Descent:
        return Descent(self._model, self._stepping, self._device)

    def _trained_here(
        self, parameters: Parameters, task: Task, group: str, start: Parameters | None
    ) -> TaskResult:
        schedule = Schedule.of(task)
        cut = self._train.cut(schedule, task)
        self._tensors.load(parameters, self._own)
        if start is not None:
            self._tensors.write_all(start)
        _, examples = self._fit(self._descent(), schedule, cut, task)
        self._models = {**self._models, group: copies(as_arrays(self._tensors.all()))}
        if not examples:
            return TaskResult(0)
        mean = self._measured(Cut(schedule.batch_size or DEFAULT_BATCH_SIZE), task)
        return TaskResult(mean.count, mean.values())

    def _fit(self, descent: Descent, schedule: Schedule, cut: Cut, task: Task) -> tuple[Mean, int]:
        """Train the model as it is; the mean of the loss, and the number of examples."""
        self._train.seed(task.seed)
        shuffler = torch.Generator().manual_seed(task.seed)
        passes = Passes(self._train, cut, self._device, shuffler)
        self._model.train()
        mean, steps = Mean(), 0
        with descent.learning_rate(schedule.lr, task):
            for inputs, targets, count in schedule.repeat(descent.passes(passes.one)):
                descent.zero_grad()
                loss, _ = self._forward(inputs, targets)
                steps += descent.step(loss, task)
                mean.add({"loss": loss}, count)
        descent.end_task()
        if mean.count and not steps:
            notice(f"task {task.name} made no step: every gradient overflows float16. Train on more batches?")
        return mean, passes.num_examples if steps else 0

    def _measured(self, cut: Cut, task: Task) -> Mean:
        """The means of `loss` and the metrics over the held-out data, of the model as it is."""
        self._validate.seed(task.seed)
        return self._forward.measured(Passes(self._validate, cut, self._device).one(), self._metrics)
