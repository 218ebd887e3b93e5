"""A learner driven task by task: seeded, checked, and its local state kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.adapters.personal_patterns import stating
from hanse.learners.agreement import TENSOR, Agreement, check_stated, sealed, unsealed
from hanse.learners.base import AgreeingLearner, Learner, StatefulLearner
from hanse.learners.failures import users_code, users_objects
from hanse.learners.results import checked_arrays, checked_result
from hanse.learners.seeding import seed_generators
from hanse.learners.state import StateStore
from hanse.local.applied import rules_of
from hanse.local.state import checked_of_user, kept_of, of_rules, of_user, with_kept

_NO_TASKS = {"parameters", "local_state", "restore_local_state", "agreement"}

METHODS: Mapping[str, str] = {
    "parameters": "a site gives the first model with it",
    "train": "workflow fedavg asks the task `train`",
    "evaluate": "workflow fedavg asks the task `evaluate`",
}
"""Methods of a learner for a plan that trains and measures, each with what asks it."""


class LearnerSession:
    """Makes a site's learner and has it perform tasks.

    The learner is made once and kept from task to task. It is made anew, and its local state restored
    from disk, where the state in memory is not what the last exchange left that counts: in a fresh process,
    after a task that failed or whose result did not count, and when an exchange is performed again.

    Args:
        learner_factory: Makes the learner; called with Python's, NumPy's and torch's generators seeded
            with `site.seed`.
        site: Where it runs.
        state_dir: Folder for the local state of this learner in this run; made when there is something
            to keep.
        needs: Methods that the learner has to have, each with what asks it: those of the plan's tasks, and
            `parameters` where a site is asked for the first model.
        personal: Patterns of the tensors that the plan keeps at the site, for a learner that has to know;
            the tensors themselves are seen to by `hanse.learners.personal.session`.
    """

    def __init__(
        self,
        learner_factory: Callable[[Site], Learner],
        site: Site,
        state_dir: Path,
        needs: Mapping[str, str] = METHODS,
        personal: Sequence[str] = (),
    ) -> None:
        self._needs = needs
        self._factory = learner_factory
        self._site = site
        self._store = StateStore(state_dir)
        self._personal = personal
        self._kept_by_learner: frozenset[str] = frozenset()
        self._learner: Learner | None = None
        self._version: int | None = None
        """Which version of the local state the learner holds; None: the one it was made with."""
        self._rules_state: dict[str, Parameters] = {}
        """State of the plan's local rules, in the same version."""
        self._stated = Agreement.of(site)
        self._agreement: Agreement | None = None
        """Of the learner that was made last; None of one that does not say."""

    def agreement(self) -> Agreement | None:
        """The labels and features of the learner at this site; None of a learner that does not say.

        Raises:
            TaskError: The user's code failed, or they are not those that the plan states.
        """
        with users_objects("agreement"):
            self._learner = self._learner or self._made()
        return self._agreement

    def kept_by_learner(self) -> frozenset[str]:
        """Names of entries of the model that stay at the site and that the learner keeps; once it is made."""
        return self._kept_by_learner

    def initial_parameters(self) -> Parameters:
        """See `Session`."""
        self._learner = self._learner or self._made()
        with users_code("parameters"):
            parameters = self._learner.parameters()
        arrays = checked_arrays(parameters, "parameters")
        arrays = sealed(arrays, self._agreement, self._stated)
        return {name: np.array(array) for name, array in arrays.items()}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        """See `Session`."""
        learner = self._learner_after(sequence - 1 if counted is None else counted)
        method = _task_method(learner, task.name)
        own = unsealed(parameters, self._agreement, self._stated, self._site.name)
        self._learner = None  # what a failed task leaves behind is not used again
        rules = rules_of(task)
        if rules is not None:
            rules.begin(task, read_only(own), kept_of(self._rules_state, task.name))
        seed_generators(task.seed)
        with users_code(task.name):
            returned = method(read_only(own), task)
        result = checked_result(returned, own, task.name)
        if rules is not None:
            result, kept = rules.end(result)
            self._rules_state = with_kept(self._rules_state, task.name, kept)
        self._keep_state(learner, task, sequence)
        self._learner = learner
        if result.parameters is None or TENSOR not in parameters:
            return result
        return replace(result, parameters={**result.parameters, TENSOR: parameters[TENSOR]})

    def close(self) -> None:
        """See `Session`."""
        self._learner = None

    def _learner_after(self, counted: int) -> Learner:
        version = self._store.roll_back(counted)
        if self._learner is not None and self._version == version:
            return self._learner
        learner = self._made()
        state = {} if version is None else self._store.load(version)
        self._rules_state = of_rules(state)
        if version is not None and isinstance(learner, StatefulLearner):
            with users_code("restore_local_state"):
                learner.restore_local_state(of_user(state))
        self._version = version
        return learner

    def _made(self) -> Learner:
        seed_generators(self._site.seed)
        with users_code("making the learner"), stating(self._personal) as stated:
            learner = self._factory(self._site)
        self._kept_by_learner = frozenset(stated.kept)
        lacks = [name for name in self._needs if not hasattr(learner, name)]
        if lacks:
            raise TaskError(
                f"the plan's learner function returned a {type(learner).__name__}, which is not a learner: "
                f"it lacks {', '.join(lacks)}",
                mend=f"Write the method `{lacks[-1]}`: {self._needs[lacks[-1]]}.",
            )
        self._agreement = None
        if isinstance(learner, AgreeingLearner):
            with users_code("agreement"):
                self._agreement = learner.agreement()
            check_stated(self._agreement, self._stated, self._site.name)
        return learner

    def _keep_state(self, learner: Learner, task: Task, sequence: int) -> None:
        state: Mapping[str, Parameters] = {}
        if isinstance(learner, StatefulLearner):
            with users_code("local_state"):
                state = learner.local_state()
        state = {**checked_of_user(state), **self._rules_state}
        if state or self._version is not None:
            self._store.save(sequence, task.round_number, state, started_from=self._version)
            self._version = sequence


def read_only(parameters: Parameters) -> dict[str, Array]:
    """Views of the same arrays that cannot be written to."""
    views = {name: array.view() for name, array in parameters.items()}
    for view in views.values():
        view.flags.writeable = False
    return views


def _task_method(learner: Learner, name: str) -> Callable[[Parameters, Task], object]:
    kind = type(learner)
    tasks = [known for known in dir(kind) if known[0] != "_" and callable(getattr(kind, known))]
    if name in tasks and name not in _NO_TASKS:
        method: Callable[[Parameters, Task], object] = getattr(learner, name)
        return method
    known = ", ".join(sorted(set(tasks) - _NO_TASKS))
    raise TaskError(f"{kind.__name__} has no task {name!r}; it has: {known}")
