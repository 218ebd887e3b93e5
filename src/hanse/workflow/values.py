"""What a workflow hands over, checked and in plain numbers and arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hanse.core.plan.group_tensors import Received, problem_of_received, received_groups
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.plan.varying import as_stated, problem_of_settings
from hanse.core.values.groups import ARRAY_NAME, MARK, RESULT_NAME, Groups, flattened
from hanse.core.values.parameters import Parameters, in_words, not_finite, num_bytes, specs
from hanse.core.values.update import given
from hanse.core.values.wording import named
from hanse.errors import TaskError, WorkflowError
from hanse.learners import results

MAX_METRICS = 1_000
"""Most metrics of one round; they stand in the journal."""
MAX_NAME_CHARS = 200
MAX_RESULTS = 1_000
"""Most results of a run; their digests stand in the journal."""
_RESULT = re.compile(RESULT_NAME)


def checked_metrics(metrics: Mapping[str, Any], round_number: int) -> dict[str, float]:
    """A round's metrics as finite floats by name, without those that are None.

    NumPy's and torch's numbers are taken as what they say.

    Raises:
        WorkflowError: One is no number, or none that can be written down; says which.
    """
    what = f"the commit of round {round_number}"
    try:
        numbers = given(results.checked_metrics(metrics, what))
    except TaskError as error:
        raise WorkflowError(error.message, mend=error.mend) from error
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise WorkflowError(
                f"{what}: metric {name!r} is {value}",
                mend="Has training diverged? Lower the learning rate, or leave the metric out.",
            )
        if len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise WorkflowError(
                f"{what}: {name[:80]!r} is not a name of a metric",
                mend=f"Use at most {MAX_NAME_CHARS} printable characters.",
            )
    if len(numbers) > MAX_METRICS:
        raise WorkflowError(f"{what} has {len(numbers)} metrics; at most {MAX_METRICS} are kept")
    return numbers


def checked_parameters(parameters: Parameters, what: str) -> Parameters:
    """Parameters as they are, once it is sure that they are arrays by name.

    Raises:
        WorkflowError: They are not; says which.
    """
    try:
        results.checked_arrays(parameters, what)
    except TaskError as error:
        raise WorkflowError(error.message, mend=error.mend) from error
    return parameters


def check_known(plan: Plan, task: str) -> None:
    """Refuse a task that the plan has not.

    Raises:
        WorkflowError: Names those that it has.
    """
    if task != INITIALISE and task not in plan.tasks:
        raise WorkflowError(f"the plan has no task {task!r}; it has: {', '.join(plan.tasks)}")


def checked_groups(groups: Groups, what: str) -> Groups:
    """Groups as arrays, and tables of arrays, by name.

    Raises:
        WorkflowError: They are not; says which.
    """
    try:
        return results.checked_groups(groups, what)
    except TaskError as error:
        raise WorkflowError(error.message, mend=error.mend) from error


def checked_state(state: Groups, what: str) -> Groups:
    """A workflow's state: arrays, and tables of arrays, by name.

    Raises:
        WorkflowError: It is not; says which.
    """
    checked = checked_groups(state, what)
    for name in checked:
        if name.startswith(MARK):
            raise WorkflowError(f"{what}: {name[:80]!r} begins with {MARK}, which no name of a state does")
    return checked


def checked_sent(plan: Plan, task: str, model: Parameters | None, groups: Groups) -> Groups:
    """The groups that are sent with a task, once it is sure that the task receives exactly those.

    Raises:
        WorkflowError: Another name, shape or dtype, or a NaN or an infinity; says which.
    """
    sent = checked_groups(groups, f"the groups for {task}")
    wanted = received_groups(plan, task)
    if set(sent) != set(wanted):
        given, listed = named(sorted(sent)) or "none", named(sorted(wanted)) or "none"
        raise WorkflowError(
            f"task {task!r} is asked with the groups {given}; by the plan it receives {listed}",
            mend=f"round.sum({task!r}, groups={{...}}) takes exactly those.",
        )
    if not sent:
        return sent
    flat = flattened(sent)
    received = Received(None if model is None else specs(model), specs(flat))
    if problem := problem_of_received(plan, task, received):
        raise WorkflowError(f"task {task!r} is asked with other groups than it receives: {problem}")
    if bad := not_finite(flat):
        raise WorkflowError(f"task {task!r} is asked with a NaN or an infinity in {in_words(bad)}")
    return sent


def checked_settings(plan: Plan, task: str, settings: Mapping[str, Any]) -> dict[str, int | float]:
    """Settings of an ask, as the plan lets them vary.

    Raises:
        WorkflowError: One does not vary, or not so far.
    """
    numbers = {name: value.item() if hasattr(value, "item") else value for name, value in settings.items()}
    if problem := problem_of_settings(plan, task, numbers):
        raise WorkflowError(
            f"{problem}", mend=f"`tasks: {{{task}: {{varies: {{NAME: [LOW, HIGH]}}}}}}` permits more."
        )
    return as_stated(plan, task, numbers)


def check_results(together: Groups, most: int) -> None:
    """Refuse results that are too large, or that have no usable name.

    Raises:
        WorkflowError: Names the result, or the bytes.
    """
    for name, value in together.items():
        inner = list(value) if isinstance(value, Mapping) else ["values"]
        if not inner or not all(isinstance(each, str) and ARRAY_NAME.fullmatch(each) for each in inner):
            raise WorkflowError(
                f"the result {name[:80]!r} is a table without arrays, or one whose arrays have other names "
                "than of letters, digits, _ . and -"
            )
        if not _RESULT.fullmatch(name):
            raise WorkflowError(
                f"{name[:80]!r} is not a name of a result: write 1 to 63 letters, digits, _ . and -, a "
                "letter first"
            )
        arrays = value.values() if isinstance(value, Mapping) else [value]
        if other := [array.dtype.name for array in arrays if array.dtype.kind in "OUSTMmc"]:
            raise WorkflowError(
                f"the result {name!r} is of {other[0]}: no number that a file of tensors has",
                mend="Text belongs in `options`; of a complex number, give both parts.",
            )
    if len(together) > MAX_RESULTS:
        raise WorkflowError(f"the run has {len(together)} results; at most {MAX_RESULTS} are kept")
    size = num_bytes(flattened(together))
    if size > most:
        raise WorkflowError(
            f"the results have {size:,} bytes; by the plan they have at most {most:,}",
            mend="Commit less, or set `max_result_bytes` in the plan.",
        )
