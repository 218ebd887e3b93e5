"""What every learner promises: the user's model, data and optimiser behind one interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from hanse.core.parameters import Parameters
from hanse.core.update import Task, TaskResult


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
        """What to keep, in named groups of arrays; empty where there is nothing yet."""
        ...

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        """Take back what `local_state` gave."""
        ...
