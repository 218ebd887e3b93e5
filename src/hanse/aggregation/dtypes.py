"""What rules do about dtypes: which they take, how integers count, how results are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hanse.core.values.parameters import Array, Parameters, in_words, is_floating, mismatch, specs
from hanse.errors import UpdateError


def check_alike(updates: Sequence[Parameters], what: str) -> None:
    """Refuse updates that differ in names, shapes or dtypes, or of whose dtype the rule can make nothing.

    Args:
        updates: At least one.
        what: What the rule makes, for the message: `median`.

    Raises:
        UpdateError: Which tensor, and of which update.
    """
    check_dtypes(updates[0], what)
    expected = specs(updates[0])
    for number, update in enumerate(updates[1:], start=2):
        problem = mismatch(specs(update), expected)
        if problem:
            raise misfit(number, len(updates), problem)


def check_dtypes(update: Parameters, what: str) -> None:
    """Refuse an update of whose dtype the rule can make nothing.

    Raises:
        UpdateError: Which tensor.
    """
    for name, spec in specs(update).items():
        dtype = update[name].dtype
        if not (is_floating(dtype) or dtype.kind in "iub"):
            raise UpdateError(f"{in_words(name)} has dtype {spec.dtype}, of which no {what} can be taken")


def misfit(number: int, count: int, problem: str) -> UpdateError:
    """Of an update, counted from 1, that differs from the first."""
    return UpdateError(f"update {number} of {count} does not fit the first: {problem}")


def as_number(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype as which a tensor's raw numbers are looked at.

    An unsigned delta of -1 is the largest number there is; as a signed one it is -1. Booleans are 0 and 1.
    """
    if dtype.kind == "u":
        return np.dtype(dtype.str.replace("u", "i"))
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Take float64 values to the dtype of their tensor, rounding once; unsigned ones as signed."""
    if dtype == np.bool_:
        return values >= 0.5
    if dtype.kind in "iu":
        # The largest int64 is no float64: the next one above would wrap around.
        return np.minimum(np.rint(values), np.nextafter(2.0**63, 0)).astype(as_number(dtype))
    return values.astype(dtype)
