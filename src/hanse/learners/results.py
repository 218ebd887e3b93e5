"""What the user's code gives back, checked and in plain numbers and arrays."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from hanse.core.values.groups import Group
from hanse.core.values.lazy import LazyTensor
from hanse.core.values.parameters import Array, Parameters, mismatch, specs
from hanse.core.values.update import TaskResult
from hanse.errors import TaskError

_BEYOND = 2**63
"""No data set has so many examples."""


def checked_result(result: object, received: Parameters, doing: str) -> TaskResult:
    """Check what a task gave back.

    Args:
        result: What it gave.
        received: The parameters that the task started from.
        doing: The task's name, for the error.

    Returns:
        The same with an `int`, `float`s and arrays.

    Raises:
        TaskError: It is no `TaskResult`, a number is none, or tensors differ in name, shape or dtype from
            those that the task received.
    """
    if not isinstance(result, TaskResult):
        raise TaskError(
            f"{doing} gave back {a_kind_of(result)}",
            mend="A task returns hanse.TaskResult(num_examples, metrics, parameters).",
        )
    metrics = checked_metrics(result.metrics, doing)
    result = replace(
        result,
        num_examples=checked_count(result.num_examples, doing),
        metrics=metrics,
        groups=checked_groups(result.groups, doing),
    )
    if result.parameters is None:
        return result
    arrays = checked_arrays(result.parameters, doing)
    if problem := mismatch(specs(arrays), specs(received)):
        raise TaskError(f"{doing} gave back another model than it got: {problem}")
    return replace(result, parameters=arrays)


def checked_count(value: Any, doing: str) -> int:
    """A number of examples as an `int`, at least 0.

    Raises:
        TaskError: It is none.
    """
    with suppress(Exception):  # a number of the user's own may raise anything
        if not is_masked(value) and 0 <= (count := int.__index__(operator.index(value))) < _BEYOND:
            return count  # a plain one, whatever the value was
    # Only what is short can be quoted.
    quoted = isinstance(value, float) or (isinstance(value, int) and abs(value) < _BEYOND)
    got = value if quoted else a_kind_of(value)
    raise TaskError(f"{doing}: the number of examples must be a whole number from 0 on, got {got}")


def checked_metrics(metrics: Any, doing: str) -> dict[str, float | None]:
    """Metrics as `float`s by name; a NaN or an infinity is kept, and None for a metric that is not defined.

    Raises:
        TaskError: A name is no text or a value no number; says which.
    """
    if not isinstance(metrics, Mapping):
        raise TaskError(f"{doing}: metrics must be numbers by name, got {a_kind_of(metrics)}")
    return {
        _name(name, doing): None if value is None else _number(name, value, doing)
        for name, value in metrics.items()
    }


def checked_groups(groups: Any, doing: str) -> dict[str, Group]:
    """Groups as NumPy arrays, or tables of them, by name; nothing is copied.

    Plain numbers are taken for arrays without dimensions.

    Raises:
        TaskError: A name is not text, or a value is not an array; says which.
    """
    if not isinstance(groups, Mapping):
        raise TaskError(f"{doing}: groups must be arrays by name, got {a_kind_of(groups)}")
    checked: dict[str, Group] = {}
    for name, value in list(groups.items()):
        text = _name(name, doing)
        if isinstance(value, Mapping):
            table = {key: _as_array(number) for key, number in value.items()}
            checked[text] = checked_arrays(table, f"{doing}: group {text!r}", "array")
            continue
        plain = _as_array(value)
        if not isinstance(plain, np.ndarray | np.generic | LazyTensor):
            raise TaskError(
                f"{doing}: group {text!r} is {a_kind_of(value)}",
                mend="Give a NumPy array, or a dict of them.",
            )
        if is_masked(plain):
            raise TaskError(f"{doing}: group {text!r} has masked numbers", mend="Give it filled().")
        checked[text] = checked_arrays({"": plain}, doing)[""]
    return checked


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, int | float) else value


def checked_arrays(parameters: Any, doing: str, noun: str = "parameter") -> dict[str, Array]:
    """Parameters as NumPy arrays by name, not copied.

    Args:
        parameters: Whatever was given for them.
        doing: The task's name, for the error.
        noun: What one of them is called in the error.

    Raises:
        TaskError: A name is no text or a value no array, or a masked one; says which.
    """
    if not isinstance(parameters, Mapping):
        raise TaskError(f"{doing}: {noun}s must be arrays by name, got {a_kind_of(parameters)}")
    # Once: the user's own mapping may give others the second time.
    items = [(_name(name, doing), value) for name, value in parameters.items()]
    for name, value in items:
        # A NumPy scalar is what arithmetic makes of an array without dimensions.
        if not isinstance(value, np.ndarray | np.generic | LazyTensor):
            raise TaskError(f"{doing}: {noun} {name!r} is {a_kind_of(value)}", mend="Give a NumPy array.")
        if is_masked(value):
            raise TaskError(f"{doing}: {noun} {name!r} has masked numbers", mend="Give it filled().")
    return {
        name: value.as_array if isinstance(value, LazyTensor) else np.asarray(value) for name, value in items
    }


def _name(name: Any, doing: str) -> str:
    if not isinstance(name, str):
        raise TaskError(f"{doing}: {name!r} is not a name; names of metrics and parameters are text")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        what = f"{name[:80]!a} is not a name: half of a surrogate pair is not text"
        raise TaskError(f"{doing}: {what}") from None
    return str.__str__(name)


def _number(name: str, value: Any, doing: str) -> float:
    if is_masked(value):
        raise TaskError(f"{doing}: metric {name!r} is masked: it has no value", mend="Give None.")
    with suppress(Exception):  # a number of the user's own may raise anything
        # `item` where there is one: torch warns when it is `float` that takes a loss off its graph.
        number = value.item() if hasattr(value, "item") else value
        if not isinstance(number, str | bytes):
            return float(number)
    raise TaskError(f"{doing}: metric {name!r} must be a number, got {a_kind_of(value)}")


def is_masked(value: object) -> bool:
    """Check whether a masked array hides some of its numbers; what lies below a mask means nothing."""
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any())


def a_kind_of(value: object) -> str:
    """A value's type with its article: `a list`, `a torch.Tensor`."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
