"""The local rules of one task, applied: begun, in every step, and ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hanse.core.values.groups import Groups
from hanse.core.values.parameters import UNTRAINED, Parameters, is_floating, personal_names
from hanse.core.values.update import Task, TaskResult
from hanse.core.values.wording import named
from hanse.errors import TaskError
from hanse.local.arrays import checked, in_dtype
from hanse.local.base import Local, LocalRule
from hanse.local.trained import check_trained

Kept = Mapping[str, Groups]
"""State of the rules of one task at a site, by the names of the rules."""


class AppliedRules:
    """The rules of a task, for the session that drives the learner.

    The session calls `begin` before the learner's method and `end` after it; in between, the learner calls
    `Task.correct` once a step.

    Attributes:
        rules: In the order in which they act.
        personal: Patterns of tensors that stay at the site, which the rules pass by.
        untrained: Patterns of tensors that no gradient trains.
    """

    def __init__(
        self,
        rules: Sequence[LocalRule],
        personal: Collection[str] = (),
        untrained: Collection[str] = UNTRAINED,
    ) -> None:
        self.rules = tuple(rules)
        self.personal = tuple(personal)
        self.untrained = tuple(untrained)
        self._received: Parameters = {}
        self._own: frozenset[str] = frozenset()
        """Names of the personal tensors of the task at work."""
        self._stepped_on_own = False
        self._task = ""
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._at_work: dict[str, Local] = {}
        self._counts: dict[str, int] = {}

    def begin(self, task: Task, received: Parameters, kept: Kept) -> None:
        """Begin the task, or begin it again.

        Args:
            task: The task, with its groups.
            received: The model that the learner gets; read-only, and holds until `end`.
            kept: What `end` gave to keep the last time.

        Raises:
            TaskError: A rule lacks a group.
        """
        self._task = task.name
        self._own, self._stepped_on_own = personal_names(received, self.personal), False
        received = {name: array for name, array in received.items() if name not in self._own}
        self._received = received
        self._shapes = {name: array.shape for name, array in received.items() if is_floating(array.dtype)}
        self._counts = {}
        begun = {rule.name: rule.begin(received, task.groups, kept.get(rule.name, {})) for rule in self.rules}
        self._at_work = {name: local for name, local in begun.items() if local is not None}

    def correct(self, gradients: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `Task.correct`."""
        if self._shapes is None:
            raise TaskError(f"the local rules of task {self._task} have not begun: a session performs a task")
        if not self._at_work:
            return gradients
        corrected = dict(gradients)
        ours = [name for name in gradients if name in self._shapes]
        own = [name for name in gradients if name in self._own]
        if not ours and not own:
            raise self._misnamed(gradients, self._shapes)
        self._stepped_on_own |= any(gradients[name] is not None for name in own)
        for name in ours:
            if gradients[name] is not None:
                corrected[name] = self._corrected(name, gradients[name], parameters)
                self._counts[name] = self._counts.get(name, 0) + 1
        return corrected

    def end(self, result: TaskResult) -> tuple[TaskResult, Kept]:
        """End the task.

        Returns:
            What leaves, and what is kept for the task's next time.

        Raises:
            TaskError: There were examples, and the learner never called `Task.correct`; its result has a
                group of a rule's; or other tensors were trained than the plan says, and a rule needs to know.
        """
        steps = max(self._counts.values(), default=0)
        if result.num_examples and self._at_work and not (steps or self._stepped_on_own):
            rules = f"rule{'s' if len(self._at_work) > 1 else ''} {' and '.join(self._at_work)}"
            raise TaskError(
                f"task {self._task} never applied the plan's local {rules}",
                mend="Call `task.correct(gradients, parameters)` between gradients and step, in a script "
                "`round.correct()`. TorchLearner does so by itself; SklearnLearner cannot.",
            )
        kept: dict[str, Groups] = {}
        result, own = _parted(result, self.personal)
        trained_only = {rule.name for rule in self.rules if rule.trained_only}
        if trained_only & self._at_work.keys():
            check_trained(self._task, self._received, result.parameters or {}, self._counts, self.untrained)
        for name, local in self._at_work.items():
            before = result.groups
            result, passed = _parted(result, self.untrained if name in trained_only else ())
            result, kept[name] = local.end(result, steps)
            result = _joined(result, passed)
            twice = sorted(group for group in before if result.groups.get(group) is not before[group])
            if twice:
                raise TaskError(
                    f"task {self._task} gave the group {twice[0]!r}, which the local rule {name} gives",
                    mend="Leave it out of `TaskResult.groups`, or call it otherwise in the plan.",
                )
        self._shapes, self._at_work = None, {}
        return _joined(result, own), kept

    def _misnamed(self, gradients: Collection[str], received: Collection[str]) -> TaskError:
        given, known = (
            named([repr(name) for name in sorted(map(str, names))], 3) or "none"
            for names in (gradients, received)
        )
        return TaskError(
            f"task {self._task} corrects the gradients of {given}: not one is of a tensor that it received",
            mend=f"Give them by the names of the model's tensors: {known}.",
        )

    def _corrected(self, name: str, gradient: Any, parameters: Mapping[str, Any]) -> Any:
        shape = (self._shapes or {})[name]
        if name not in parameters:
            raise TaskError(
                f"task {self._task} corrects a gradient of {name!r} without the parameter's value"
            )
        value = checked(gradient, f"the gradient of {name!r}")
        parameter = checked(parameters[name], f"the parameter {name!r}")
        for found, what in ((value, "gradient"), (parameter, "parameter")):
            if tuple(found.shape) != shape:
                raise TaskError(
                    f"task {self._task}: the {what} of {name!r} has shape {tuple(found.shape)}, expected "
                    f"{shape}"
                )
        for local in self._at_work.values():
            value = local.correct(name, value, parameter)
        return in_dtype(value, gradient)


def _parted(result: TaskResult, patterns: Collection[str]) -> tuple[TaskResult, Parameters]:
    """A result without the tensors that patterns fit, and these."""
    whole = result.parameters or {}
    apart = {name: whole[name] for name in personal_names(whole, patterns)}
    if not apart:
        return result, {}
    rest = {name: array for name, array in whole.items() if name not in apart}
    return replace(result, parameters=rest), apart


def _joined(result: TaskResult, apart: Parameters) -> TaskResult:
    if not apart or result.parameters is None:
        return result
    return replace(result, parameters={**result.parameters, **apart})


def with_rules(
    task: Task,
    rules: Sequence[LocalRule],
    personal: Collection[str] = (),
    untrained: Collection[str] = UNTRAINED,
) -> Task:
    """The task with local rules, which begin when a session performs it.

    Args:
        task: The task.
        rules: The rules.
        personal: `personal` of the plan.
        untrained: `untrained` of its `aggregation`.
    """
    return replace(task, _local=AppliedRules(rules, personal, untrained) if rules else None)


def rules_of(task: Task) -> AppliedRules | None:
    """The rules that `with_rules` gave a task; None where it has none."""
    return task._local if isinstance(task._local, AppliedRules) else None
