"""What a workflow hands over, checked and in plain numbers and arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hanse.core.values.parameters import Parameters
from hanse.core.values.update import given
from hanse.errors import TaskError, WorkflowError
from hanse.learners import results

MAX_METRICS = 1_000
"""Most metrics of one round; they stand in the journal."""
MAX_NAME_CHARS = 200


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
