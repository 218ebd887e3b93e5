"""What a step of compression promises.

A tensor is cut into segments (`hanse.core.plan.transforms.SEGMENT`), and each
segment, a vector of float32 or float64, goes through the steps of the plan's
list. A step takes a vector, writes some of what it is told by into *parts* of
known dtypes and lengths, and may leave a vector, the *rest*, to the step after
it. All of it follows from the vector and a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from hanse.core.values.parameters import Array


class Vector(NamedTuple):
    """What is known of a vector beforehand: its dtype, by NumPy's name, and its length."""

    dtype: str
    size: int


class Layout(NamedTuple):
    """What a step makes of so many numbers.

    Attributes:
        parts: What it writes, in this order.
        rest: How many numbers it leaves to the next step; None where it is the last.
    """

    parts: tuple[Vector, ...]
    rest: int | None = None


class Step(Protocol):
    """One lossy step; immutable, may be used from any thread."""

    def layout(self, like: Vector) -> Layout:
        """What comes of such a vector: float32 or float64, and not empty."""
        ...

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Write a vector.

        Args:
            values: Finite numbers; not changed.
            seed: Of every random choice; never used for anything else.

        Returns:
            The parts and the rest, as `layout` says.

        Raises:
            UpdateError: The numbers are too large for this step.
        """
        ...

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Make the vector again.

        Args:
            parts: As `layout` says; their content may be a stranger's.
            rest: As `layout` says, with the dtype of the vector; may be changed.
            like: What the vector was like.
            seed: As it was for `encode`.

        Returns:
            The vector; not always finite where a stranger wrote it.

        Raises:
            UpdateError: No `encode` writes such parts.
        """
        ...

    def error_bound(self, values: Array) -> float:
        """Largest L2 distance of `values` from what this step alone makes of them, for any seed."""
        ...


def norm(values: Array) -> float:
    """L2 norm, of vectors whose squares would overflow too."""
    top = largest(values)
    if not 0 < top < float("inf"):
        return top
    scaled = values.astype(np.float64) / top
    return top * float(np.sqrt(np.dot(scaled, scaled)))


def largest(values: Array) -> float:
    """Largest magnitude; 0 of nothing."""
    # Two passes without a copy, where the maximum of the magnitudes takes one and a copy.
    return max(float(np.max(values, initial=0)), -float(np.min(values, initial=0)))
