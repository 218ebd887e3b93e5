"""The settings of a task that trains: how long, on how many examples at a time, how fast."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from hanse.core.values.update import Task
from hanse.errors import PlanError

T = TypeVar("T")

LastBatch = Literal["keep", "drop", "merge"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast a task trains.

    Attributes:
        epochs: Passes over the training data, at least 1.
        batches: Batches in place of whole epochs, at least 1; pass follows pass until there are so many.
        batch_size: Examples a batch, at least 1; None leaves it to the learner.
        lr: Local learning rate, above 0; None leaves it to the learner.
        last_batch: What becomes of the last batch of a pass where it is smaller than the others: it is kept,
            left out, or part of the one before.
    """

    epochs: int = 1
    batches: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    last_batch: LastBatch = "keep"

    @staticmethod
    def of(
        task: Task, known: Collection[str] = ("epochs", "batches", "batch_size", "lr", "last_batch")
    ) -> Schedule:
        """Read a task's settings.

        Args:
            task: The task, with its settings from the plan.
            known: Those of the attributes that the learner heeds.

        Raises:
            PlanError: A setting is not `known` or out of its range.
        """
        for name, value in task.settings.items():
            if name not in known:
                raise _unknown(task, name, known)
            _check(task, name, value)
        return Schedule(**task.settings)

    def repeat(self, one_pass: Callable[[], Iterable[T]]) -> Iterator[T]:
        """Go over the data as long as asked: pass after pass of batches."""
        done = 0
        passes = 0
        while self.batches is not None or passes < self.epochs:
            before = done
            for batch in one_pass():
                if done == self.batches:
                    return
                yield batch
                done += 1
            if done == before:
                return  # no batch in a pass: there would be none in the next
            passes += 1

    def examples(self, count: int) -> int:
        """Examples that a task goes over, each pass counted by itself.

        Args:
            count: Examples of the data, at least 1.
        """
        sizes = batch_sizes(count, self.batch_size or count, self.last_batch)
        if self.batches is None:
            return self.epochs * sum(sizes)
        passes, left = divmod(self.batches, len(sizes))
        return passes * sum(sizes) + sum(sizes[:left])


def batch_sizes(count: int, size: int, last: LastBatch) -> list[int]:
    """Cut a pass into batches.

    Args:
        count: Examples of the pass.
        size: Examples a batch, at least 1.
        last: What becomes of the last batch where it is smaller than the others. The only batch of a pass is
            kept.

    Returns:
        How many examples each batch has, in their order.
    """
    whole, left = divmod(count, size)
    sizes = [size] * whole
    if not left:
        return sizes
    if last == "keep" or not whole:
        return [*sizes, left]
    if last == "merge":
        sizes[-1] += left
    return sizes


def _check(task: Task, name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "last_batch":
        good, range_ = value in get_args(LastBatch), f"one of {', '.join(get_args(LastBatch))}"
    elif name == "lr":
        good, range_ = number and math.isfinite(value) and value > 0, "a number above 0"
    else:
        good, range_ = number and isinstance(value, int) and value >= 1, "a whole number from 1 on"
    if not good:
        raise PlanError(f"task {task.name}: {name} must be {range_}, got {value!r}")


def _unknown(task: Task, name: str, known: Collection[str]) -> PlanError:
    close = difflib.get_close_matches(name, known, n=1)
    guess = f" (did you mean {close[0]!r}?)" if close else ""
    return PlanError(
        f"task {task.name} has a setting {name!r} that its learner does not know{guess}",
        mend=f"It knows: {', '.join(sorted(known)) or 'none'}.",
    )
