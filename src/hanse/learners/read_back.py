"""Parameters read back from where they were written, and compared bit by bit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hanse.core.values.parameters import Array, Parameters, mismatch, specs
from hanse.errors import UpdateError

_COMPARED_AT_ONCE = 1 << 20
"""Bytes; a block of two tensors stays in the processor's cache."""


def same_bits(left: Array, right: Array) -> bool:
    """Compare two arrays of one shape and dtype bit by bit; a NaN is the same as itself, and -0 not as 0."""
    first, second = _bytes(left), _bytes(right)
    # Eight bytes at a time, as far as they go: by single bytes it takes twice as long.
    words = len(first) // 8 * 8
    if first[words:].tobytes() != second[words:].tobytes():
        return False
    return all(
        np.array_equal(first[at:end].view(np.uint64), second[at:end].view(np.uint64))
        for at in range(0, words, _COMPARED_AT_ONCE)
        for end in (min(at + _COMPARED_AT_ONCE, words),)
    )


def difference(found: Parameters, expected: Parameters) -> str:
    """Name of the first tensor of `expected` that `found` lacks or has otherwise; empty where there is none.

    Args:
        found: Tensors by name; may have more of them.
        expected: Tensors by name.
    """
    for name, array in expected.items():
        if name not in found:
            return name
        one = {name: found[name]}
        if mismatch(specs(one), specs({name: array})) or not same_bits(found[name], array):
            return name
    return ""


def check_arrived(found: Parameters, written: Parameters, what: str, remedies: Mapping[str, str]) -> None:
    """Refuse parameters that are not, to the bit, what was written: training would start from others.

    Args:
        found: What was read back.
        written: What was written.
        what: Where to, for the message: `the torch model`.
        remedies: What to do about it, by the name of the tensor; under the empty name, of any other.

    Raises:
        UpdateError: A tensor is not what was written; names it.
    """
    name = difference(found, written)
    if name:
        raise UpdateError(
            f"tensor {name!r} did not reach {what}: read back, it is not what was written",
            mend=remedies.get(name) or remedies.get("", ""),
        )


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
