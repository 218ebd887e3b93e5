"""What may leave a site, held against what is about to leave."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fnmatch import translate

from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE, Disclosure
from hanse.core.values.parameters import Parameters, TensorSpec, mismatch, not_finite, specs
from hanse.errors import DisclosureError, UpdateError

MAX_EXAMPLES = 10**12


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


def check_metrics(metrics: Mapping[str, float], disclosure: Disclosure, what: str) -> None:
    """Refuse metrics that are not declared, or are not numbers.

    Args:
        metrics: What a task wants to send, or sent.
        disclosure: What the plan declares.
        what: Who sends, for the message: `task train at cleveland`.

    Raises:
        DisclosureError: A metric that the plan does not declare.
        UpdateError: A metric is NaN or infinite.
    """
    for name, value in metrics.items():
        if name not in disclosure.metrics:
            allowed = ", ".join(disclosure.metrics) or "none"
            raise DisclosureError(
                f"{what} would disclose the metric {name!r}; the plan declares: {allowed}",
                mend="Declare it under the task's `discloses: metrics`, or do not report it.",
            )
        if not math.isfinite(value):
            raise UpdateError(f"{what} reports {name} = {value}")


def check_examples(num_examples: int, what: str) -> None:
    """Refuse a number of examples that cannot be.

    Raises:
        UpdateError: It is negative or absurdly large.
    """
    if not 0 <= num_examples <= MAX_EXAMPLES:
        raise UpdateError(f"{what} reports {num_examples} examples")


def check_update(delta: Parameters, expected: Mapping[str, TensorSpec], what: str) -> None:
    """Refuse an update that is not exactly what was declared.

    Args:
        delta: The tensors of the update.
        expected: What `declared` gives for the model the site received.
        what: Who sends, for the message.

    Raises:
        DisclosureError: A tensor that is not declared, or one of another shape or dtype.
        UpdateError: A NaN or an infinity.
    """
    problem = mismatch(specs(delta), expected)
    if problem:
        raise DisclosureError(f"the update of {what} is not what the plan declares: {problem}")
    bad = not_finite(delta)
    if bad:
        raise UpdateError(f"the update of {what} has a NaN or an infinity in tensor {bad!r}")
