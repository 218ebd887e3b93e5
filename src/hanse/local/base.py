"""Interface of a local rule."""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeVar

from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import TaskResult

A = TypeVar("A")
"""An array of NumPy, torch or JAX."""


class Local(Protocol):
    """A rule at work in one task."""

    def correct(self, name: str, gradient: A, parameter: A) -> A:
        """Correct one gradient of one step.

        Only operators are applied to the arrays, so that any framework's pass.

        Args:
            name: Name of the tensor; a floating-point one that was received.
            gradient: Gradient of the loss; not changed.
            parameter: The tensor's value at which the gradient was taken, in the same shape.

        Returns:
            The gradient that the optimiser steps along, in the dtype of `gradient`.
        """
        ...

    def end(self, result: TaskResult, steps: int) -> tuple[TaskResult, Groups]:
        """End the task.

        Args:
            result: What the learner gave back.
            steps: Steps of the optimiser, at least 0; as often a gradient of one tensor was corrected.

        Returns:
            What leaves, and what the rule keeps at the site for this task's next time.

        Raises:
            TaskError: The result lacks what the rule needs.
        """
        ...


class LocalRule(Protocol):
    """A rule as a plan states it: a value, which holds nothing of any site."""

    name: ClassVar[str]
    """Name of the rule in a plan."""
    trained_only: ClassVar[bool]
    """True where the workflow acts on the trained tensors of the update too, so that both have to know them:
    `Local.end` then gets no other ones."""

    def begin(self, received: Parameters, groups: Groups, kept: Groups) -> Local | None:
        """Begin a task.

        Args:
            received: The model as the task received it; read-only, and holds until the task ends.
            groups: The groups that the task received.
            kept: What `Local.end` gave to keep the last time; empty the first time.

        Returns:
            The rule at work, or None where there is nothing to do (`mu = 0`).

        Raises:
            TaskError: A group that the rule needs was not received.
        """
        ...
