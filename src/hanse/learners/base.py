"""What every learner promises: the user's model, data and optimiser behind one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.learners.agreement import Agreement


@runtime_checkable
class Learner(Protocol):
    """A model beside the data of one site.

    Every task of a plan is a method with the signature of `train`; a task
    named `segment` in the plan calls `learner.segment(parameters, task)`.
    Parameters passed in are read-only and are never to be changed in place.
    """

    def parameters(self) -> Parameters:
        """The model's current arrays, by name; the first model of a run comes from here."""
        ...

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        """Train on the site's data, starting from `parameters`."""
        ...

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        """Measure `parameters` on the site's held-out data; `TaskResult.parameters` stays None."""
        ...


@runtime_checkable
class StatefulLearner(Protocol):
    """A learner that keeps something at the site from round to round.

    An optimiser's moments, personal layers. It never leaves the site; it is
    written down after each task so that a restarted worker goes on from there.
    """

    def local_state(self) -> Mapping[str, Parameters]:
        """What to keep, in named groups of arrays; empty where there is nothing yet.

        The arrays may be the learner's own, which the next task changes.
        """
        ...

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        """Take back what `local_state` gave; the arrays are read-only, and the learner copies them."""
        ...


@runtime_checkable
class AgreeingLearner(Protocol):
    """A learner that knows its labels and features, which have to be the same at every site."""

    def agreement(self) -> Agreement:
        """The labels and the names of the features here; the same from call to call."""
        ...


@runtime_checkable
class PoolingLearner(Protocol):
    """A learner that can be made of the data of several sites, for `hanse simulate --baselines`."""

    def pooled(self, others: Sequence[Any]) -> Learner:
        """A learner of the training data of this one and of the others, made by the same function."""
        ...


class Session(Protocol):
    """The user's code at one site, driven task by task; a learner's or a script's.

    One thread at a time may use it.
    """

    def initial_parameters(self) -> Parameters:
        """The first model of a run, in arrays of the caller's own; called before any task.

        Raises:
            TaskError: The user's code failed, or gave something else than arrays.
        """
        ...

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        """Perform one task.

        Args:
            task: What to do.
            parameters: The model to start from; not changed.
            sequence: Number of the exchange within its run, from 0; each exchange has a higher one than
                the exchanges before it, and the same when it is asked again.
            counted: Number of the site's last exchange whose result counted, 0 for none; None where all
                before this one did. The task starts from the local state that this exchange left, and so
                gives the same bits when it is performed again; what later ones left is deleted.

        Returns:
            The result, checked; its arrays may be the user's own and hold until the next call.

        Raises:
            TaskError: The user's code failed, or the task does not exist; `log_tail` has the traceback.
            PlanError: The plan gives the task a setting that the learner does not know.
            UpdateError: `parameters` do not fit the model.
            StorageError: The local state could not be kept or read back.
        """
        ...

    def close(self) -> None:
        """End the user's code; closing twice is no error.

        Raises:
            TaskError: What the user's script does at its end failed or takes too long.
        """
        ...
