"""Gradients that the torch tensors of a script's model hold, corrected in place."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hanse.core.values.update import Task
from hanse.errors import TaskError


def correct_in_place(model: Any, task: Task) -> None:
    """Apply a task's local rules to the gradients of a model's tensors (`.grad`).

    Args:
        model: A `torch.nn.Module`, or a dictionary of torch tensors.
        task: The task, with its rules.

    Raises:
        TaskError: No tensor has a gradient; or as `Task.correct`.
    """
    tensors = _trainable(model)
    gradients = {name: tensor.grad for name, tensor in tensors.items() if tensor.grad is not None}
    if not gradients:
        raise TaskError(
            "round.correct() found no gradient in the model that hanse.rounds() was given",
            mend="Call it between loss.backward() and optimizer.step(), and give hanse.rounds() the module, "
            "not its state_dict. In NumPy or JAX, write `gradients = round.correct(gradients, parameters)`.",
        )
    corrected = task.correct(gradients, tensors)
    if corrected is gradients:  # no rule has anything to do
        return
    for name, gradient in gradients.items():
        if corrected[name] is not gradient:
            # Into the same memory: an optimiser or a scaler may hold the gradient itself.
            gradient.detach().copy_(corrected[name])


def _trainable(model: Any) -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    if isinstance(model, torch.nn.Module):
        return dict(model.named_parameters())
    items = model.items() if isinstance(model, Mapping) else ()
    return {name: value for name, value in items if isinstance(value, torch.Tensor)}
