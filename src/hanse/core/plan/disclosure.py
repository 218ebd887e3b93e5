"""A task's result, checked against the plan's declaration: on its way out, on arrival, in a journal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Protocol

from hanse.core.plan.group_tensors import Received, disclosed_tensors, out_of_range, unfitting
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE, Disclosure
from hanse.core.values.groups import MARK
from hanse.core.values.parameters import (
    Parameters,
    TensorSpec,
    in_words,
    mismatch,
    not_a_number,
    not_finite,
    personal_names,
    specs,
)
from hanse.core.values.safe_text import is_safe
from hanse.core.values.significant import MOST_DIGITS, significant
from hanse.core.values.update import ReportedMetrics
from hanse.core.values.wording import named
from hanse.errors import DisclosureError, PlanError, UpdateError, WorkflowError

MAX_EXAMPLES = 10**12


class Disclosed(Protocol):
    """What a task gives out, in whatever form: a task's result, a site's statement, a journal's event."""

    @property
    def num_examples(self) -> int:
        """Examples that the task worked on."""
        ...

    @property
    def metrics(self) -> ReportedMetrics:
        """Numbers by name; None for one that is not defined."""
        ...

    @property
    def update(self) -> object | None:
        """The update or what stands for it, its file or its digest; None for no update."""
        ...


def disclosure_of(plan: Plan, task: str) -> Disclosure:
    """What a task of the plan discloses; the first model counts as an individual update without metrics.

    Raises:
        DisclosureError: The plan has no such task, and nothing is to leave for one.
    """
    if task == INITIALISE:
        return Disclosure(update="individual")
    if task not in plan.tasks:
        raise DisclosureError(f"the plan {plan.name} has no task {task!r}; it has: {', '.join(plan.tasks)}")
    return plan.tasks[task].discloses


def declared(model: Mapping[str, TensorSpec], disclosure: Disclosure) -> dict[str, TensorSpec]:
    """The tensors of `model` that a task sends."""
    if disclosure.update == "none":
        return {}
    # One expression of all patterns: `fnmatch` makes a new one for each of 1000 patterns and 100,000 names.
    matches = re.compile("|".join(map(translate, disclosure.tensors))).match
    return {name: spec for name, spec in model.items() if matches(name)}


def check_patterns(model: Mapping[str, TensorSpec], plan: Plan, task: str) -> None:
    """Refuse patterns of tensors that fit none of the model: what they were meant for would never be sent.

    Args:
        model: The tensors of the model; without any, nothing is refused.
        plan: The plan.
        task: The task's name.

    Raises:
        PlanError: Names the pattern.
        DisclosureError: The plan has no such task.
    """
    disclosure = disclosure_of(plan, task)
    pattern = unfitting(disclosure.tensors, tuple(model)) if model and disclosure.update != "none" else ""
    if pattern:
        raise PlanError(
            f"`discloses: tensors` of task {task} has a pattern {pattern!r} that no tensor of the model "
            f"fits; there are {named([repr(name) for name in model])}"
        )


def check_result(result: Disclosed, plan: Plan, task: str, what: str, *, rounded: bool = True) -> None:
    """Refuse a result that is not what the plan declares; of its update only whether there is one.

    Args:
        result: What is about to leave, has come, or is in a journal.
        plan: The plan.
        task: The task's name.
        what: Who sends, for the message: `task train at cleveland`.
        rounded: Whether metrics have to be rounded as the plan says; results of 0.1 are not.

    Raises:
        DisclosureError: The plan lacks the task; a metric is not declared, or has more digits than are
            declared; there is an update and none is declared, or the other way round.
        UpdateError: The number of examples is impossible, or a metric is NaN or infinite.
    """
    disclosure = disclosure_of(plan, task)
    check_examples(result.num_examples, what)
    check_metrics(result.metrics, disclosure, what, plan.metric_digits if rounded else MOST_DIGITS)
    if (result.update is None) == disclosure.sends_arrays:
        sent = "no update" if result.update is None else "an update"
        groups = f" and groups: {named(list(disclosure.groups))}" if disclosure.groups else ""
        raise DisclosureError(
            f"{what} sent {sent}, and the plan declares update: {disclosure.update}{groups}"
        )


def expected_tensors(received: Received, plan: Plan, task: str) -> dict[str, TensorSpec]:
    """The tensors that a task sends: of the update by their names, of groups by `@group/array`.

    Args:
        received: What the site started from.
        plan: The plan.
        task: The task's name.

    Raises:
        DisclosureError: The plan has no such task, or has it receive something else.
    """
    update = declared(received.model or {}, disclosure_of(plan, task))
    # No site's agent lets them out, whatever the model holds that it was sent.
    for name in personal_names(update, plan.personal):
        del update[name]
    return update | disclosed_tensors(plan, task, received)


def check_tensors(
    update: Parameters,
    received: Received,
    plan: Plan,
    task: str,
    what: str,
    *,
    clips: bool = False,
    finite: bool = False,
) -> None:
    """Refuse tensors that are not exactly what the plan declares; reads all of them.

    Args:
        update: The tensors of update and groups, as they are before compression.
        received: What the site started from; for `INITIALISE`, whose tensors are the model
            and may be any, it is not looked at.
        plan: The plan.
        task: The task's name.
        what: Who sends, for the message.
        clips: Whether numbers outside of the `range` of a group are clipped later, and not refused.
        finite: Whether it is known by now that all numbers are finite, or is found out later.

    Raises:
        DisclosureError: A tensor that the plan keeps at each site, one that is not declared, or one of
            another shape or dtype; a number outside of the `range` of its group.
        UpdateError: A NaN or an infinity; in the first model, a NaN.
    """
    own = [name for name in update if not (plan.groups and name.startswith(MARK))]
    if kept := personal_names(own, plan.personal):
        raise DisclosureError(
            f"{what} would disclose the tensor {min(kept)!r}, which the plan keeps at each site (`personal`)"
        )
    if task == INITIALISE:
        check_first_model(update, what)
        check_model_names(update, plan)
        return
    check_update(update, expected_tensors(received, plan, task), what, finite=finite)
    if not clips:
        check_ranges(update, plan, what)


def check_ranges(tensors: Parameters, plan: Plan, what: str) -> None:
    """Refuse numbers outside of the `range` of their group.

    Raises:
        DisclosureError: Names the group.
    """
    if problem := out_of_range(plan, tensors):
        raise DisclosureError(
            f"{what}: {problem}, its `range` in the plan",
            mend="Clip what the task gives, or declare a wider range.",
        )


def check_model_names(model: Iterable[str], plan: Plan) -> None:
    """Refuse names of a model's tensors that could be taken for those of groups.

    Raises:
        UpdateError: Names the tensor.
    """
    taken = next((name for name in model if name.startswith(MARK)), "") if plan.groups else ""
    if taken:
        raise UpdateError(
            f"the model has a tensor {taken[:80]!r}; in a plan with `groups`, names that begin with "
            f"{MARK} are those of groups",
            mend="Rename the tensor in the learner's code.",
        )


def check_metrics(
    metrics: ReportedMetrics, disclosure: Disclosure, what: str, digits: int = MOST_DIGITS
) -> None:
    """Refuse metrics that are not declared, are not numbers, or have too many digits.

    Args:
        metrics: What a task wants to send, or sent.
        disclosure: What the plan declares.
        what: Who sends, for the message: `task train at cleveland`.
        digits: Significant digits that the plan declares.

    Raises:
        DisclosureError: A metric that the plan does not declare, or with more digits.
        UpdateError: A metric is NaN or infinite.
    """
    for name, value in metrics.items():
        if name not in disclosure.metrics:
            allowed = ", ".join(disclosure.metrics) or "none"
            raise DisclosureError(
                f"{what} would disclose the metric {name!r}; the plan declares: {allowed}",
                mend="Declare it under the task's `discloses: metrics`, or do not report it.",
            )
        if value is None:
            continue
        if not math.isfinite(value):
            raise UpdateError(
                f"{what} reports {name} = {value}",
                mend="If training diverged, lower the learning rate. A metric that is not defined for the "
                "examples of a site, such as an AUC of one class, is given as None.",
            )
        if significant(value, digits) != value:
            raise DisclosureError(
                f"{what} would disclose more than {digits} significant digits of the metric {name!r}",
                mend="`metric_digits` in the plan permits more, up to 17.",
            )


def check_examples(num_examples: int, what: str) -> None:
    """Refuse a number of examples that cannot be.

    Raises:
        UpdateError: It is negative or absurdly large.
    """
    if not 0 <= num_examples <= MAX_EXAMPLES:
        raise UpdateError(f"{what} reports {num_examples} examples")


def check_update(
    delta: Parameters, expected: Mapping[str, TensorSpec], what: str, *, finite: bool = False
) -> None:
    """Refuse an update that is not exactly what was declared.

    Args:
        delta: The tensors of the update.
        expected: What `declared` gives for the model the site received.
        what: Who sends, for the message.
        finite: See `check_tensors`.

    Raises:
        DisclosureError: A tensor that is not declared, or one of another shape or dtype.
        UpdateError: A NaN or an infinity.
    """
    problem = mismatch(specs(delta), expected)
    if problem:
        raise DisclosureError(f"the update of {what} is not what the plan declares: {problem}")
    bad = "" if finite else not_finite(delta)
    if bad:
        raise UpdateError(
            f"the update of {what} has a NaN or an infinity in {in_words(bad)}",
            mend="If training diverged, lower the learning rate. An infinity may only stay as the model came "
            "with it; what becomes infinite is to stay out of the model: "
            "register_buffer(..., persistent=False).",
        )


def check_first_model(model: Parameters, what: str) -> None:
    """Refuse a first model with a NaN, from which nothing can be trained; reads all of it.

    The names of its tensors are the code's own words, and go to all sites: they have to be printable.

    Infinities are permitted: constants such as the mask of an attention layer have them.

    Args:
        model: The tensors.
        what: Who sends, for the message.

    Raises:
        UpdateError: A NaN, or a name that is not printable; names the tensor.
    """
    for name in model:
        if "\n" in name or not is_safe(name):
            raise UpdateError(
                f"the first model of {what} has a tensor whose name is not printable: {name[:80]!a}",
                mend="Name tensors with letters, digits, dots and the like.",
            )
    bad = not_a_number(model)
    if bad:
        raise UpdateError(
            f"the first model of {what} has a NaN in tensor {bad!r}",
            mend="Start from a model that has not diverged; a buffer that holds NaN on purpose is to stay "
            "out of the model: register_buffer(..., persistent=False).",
        )


def check_asked(plan: Plan, task: str, round_number: int, *, individually: bool) -> None:
    """Refuse a request of a workflow that the plan gives no right to.

    Args:
        plan: The plan.
        task: The task that the workflow asks for.
        round_number: In which round.
        individually: Whether the workflow would see the updates of single sites, or the sum of sites
            that it chose itself.

    Raises:
        DisclosureError: The plan discloses the task's updates in aggregate only, a first model is
            asked for after the first round has begun, or something else before.
        WorkflowError: The plan has no such task.
    """
    if task == INITIALISE and round_number != 0:
        raise DisclosureError("a first model is asked for before the first round only")
    if task != INITIALISE and round_number < 1:
        raise DisclosureError(f"before the first round a first model is asked for, and not {task!r}")
    if not individually or task == INITIALISE:
        return
    if task not in plan.tasks:
        raise WorkflowError(f"the plan has no task {task!r}; it has: {', '.join(plan.tasks)}")
    if masks(plan, task):
        raise DisclosureError(
            f"by the plan {task!r} is summed masked over whole cells, and no party sees a single site's",
            mend="Use round.sum, without `sites`; `cells` may choose some of the cells.",
        )
    disclosure = disclosure_of(plan, task)
    if disclosure.update == "aggregate":
        raise DisclosureError(
            f"the plan discloses the updates of {task!r} only in aggregate over the cohort",
            mend="Use round.sum without `sites`, or declare `update: individual` if every site can agree.",
        )
    if disclosure.combined:
        raise DisclosureError(
            f"the plan discloses the group {disclosure.combined[0]!r} of {task!r} only combined over the "
            "cohort",
            mend="Use round.sum without `sites`; groups that are `individual` stand in its `each`.",
        )
