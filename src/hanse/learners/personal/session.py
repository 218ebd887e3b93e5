"""A session whose model has tensors that stay at its site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import (
    AGREED,
    Array,
    Parameters,
    mismatch,
    not_as_before,
    personal_names,
    specs,
)
from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.core.values.wording import named
from hanse.errors import PlanError, UpdateError
from hanse.learners.base import Learner, Session
from hanse.learners.session import METHODS, LearnerSession
from hanse.learners.state import StateStore

_GROUP = "personal"


class PersonalSession:
    """Takes personal tensors out of what a session exchanges, and puts them back before each task.

    The code sees the whole model. What it trains of the tensors under the plan's `personal` is kept here,
    rolls back with the local state of an exchange that did not count, and begins with what the code's own
    model has at this site (FedPer: Arivazhagan et al. 2019, arXiv:1912.00818; FedBN: Li et al. 2021,
    arXiv:2102.07623).

    Args:
        session: The user's code at the site; no task of it was performed yet.
        patterns: `personal` of the plan; at least one.
        folder: Where the tensors are kept; made when there are some.
        kept_by_code: Names of entries of the model that fit a pattern and that the code itself keeps, known
            once it has given its first model.
    """

    def __init__(
        self,
        session: Session,
        patterns: Sequence[str],
        folder: Path,
        kept_by_code: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._session = session
        self._patterns = tuple(patterns)
        self._store = StateStore(folder)
        self._kept_by_code = kept_by_code
        self._first: Mapping[str, Array] | None = None
        """The personal tensors that the code made; None before it was asked."""

    def prepare(self) -> Mapping[str, Array]:
        """Have the code make its model, and keep copies of what is personal in it; once.

        Raises:
            PlanError: A pattern fits no tensor of the model, or all tensors are personal.
            TaskError: The user's code failed.
        """
        if self._first is None:
            self._first, _ = self._split()
        return self._first

    def initial_parameters(self) -> Parameters:
        """See `Session`: without what is personal."""
        first, exchanged = self._split()
        self._first = self._first or first
        return exchanged

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        """See `Session`; a task that does not receive the model has nothing to do with what is personal."""
        if not parameters:
            return self._session.perform(task, parameters, sequence=sequence, counted=counted)
        first = self.prepare()
        if received := personal_names(parameters, self._patterns):
            raise UpdateError(
                f"the model that was received has the tensor {min(received)!r}, which the plan keeps at each "
                "site",
                mend="A run with `personal` starts from a model without such tensors.",
            )
        version = self._store.roll_back(sequence - 1 if counted is None else counted)
        own = first if version is None else self._load(version, first)
        result = self._session.perform(task, {**parameters, **own}, sequence=sequence, counted=counted)
        if result.parameters is None:
            return result
        trained = materialize({name: result.parameters[name] for name in own})
        if bad := not_as_before(trained, own):
            raise UpdateError(
                f"task {task.name} left a NaN or an infinity in the tensor {bad!r}, which stays at the site",
                mend="If training diverged, lower the learning rate.",
            )
        self._store.save(sequence, task.round_number, {_GROUP: trained}, started_from=version)
        exchanged = {name: array for name, array in result.parameters.items() if name not in own}
        return replace(result, parameters=exchanged)

    def close(self) -> None:
        """See `Session`."""
        self._session.close()

    def _split(self) -> tuple[dict[str, Array], Parameters]:
        """The code's own model: what is personal in it, in copies, and the rest."""
        whole = self._session.initial_parameters()
        _check_fit(whole.keys(), self._patterns, self._kept_by_code())
        names = personal_names(whole, self._patterns)
        own = {name: np.array(array) for name, array in whole.items() if name in names}
        return own, {name: array for name, array in whole.items() if name not in names}

    def _load(self, version: int, first: Parameters) -> Parameters:
        own = self._store.load(version)[_GROUP]
        if problem := mismatch(specs(own), specs(first)):
            raise UpdateError(
                f"the personal tensors that were kept here do not fit the model: {problem}",
                mend="Does the model's shape follow from data that have changed? It has to stay the same "
                "during a run.",
            )
        return own


def script_session(script: Session, patterns: Sequence[str], personal: Path) -> Session:
    """The session of a script that keeps what is personal; the script's own where nothing is.

    Args:
        script: The script's.
        patterns: `personal` of the plan.
        personal: Folder for the tensors.
    """
    return PersonalSession(script, patterns, personal) if patterns else script


def learner_session(
    factory: Callable[[Site], Learner],
    site: Site,
    state: Path,
    patterns: Sequence[str],
    personal: Path,
    needs: Mapping[str, str] = METHODS,
) -> Session:
    """The session of a learner that keeps what is personal, if something is.

    Args:
        factory: Makes the learner.
        site: Where it runs.
        state: Folder for the learner's own local state.
        patterns: `personal` of the plan.
        personal: Folder for the tensors.
        needs: Methods that the learner has to have, each with what asks it.
    """
    session = LearnerSession(factory, site, state, needs, patterns)
    if not patterns:
        return session
    return PersonalSession(session, patterns, personal, session.kept_by_learner)


def _check_fit(names: Iterable[str], patterns: Iterable[str], others: Iterable[str] = ()) -> None:
    """Refuse patterns that fit nothing, or everything.

    Args:
        names: Names of the tensors of the whole model.
        patterns: `personal` of the plan.
        others: Names of entries of the model that are not tensors, and that a learner keeps at the site.

    Raises:
        PlanError: Names the pattern; or nothing is left to be exchanged.
    """
    tensors, kept = [name for name in names if name != AGREED], tuple(patterns)
    known = (*tensors, *others)
    pattern = next((p for p in kept if not any(fnmatchcase(name, p) for name in known)), None)
    if pattern is not None:
        raise PlanError(
            f"`personal` has a pattern {pattern!r} that no tensor of the model fits; there are "
            f"{named([repr(name) for name in tensors])}"
        )
    if tensors and len(personal_names(tensors, kept)) == len(tensors):
        raise PlanError(
            "by `personal` every tensor of the model stays at its site: nothing would be exchanged",
            mend="Name the tensors that are to stay; the others are exchanged.",
        )
