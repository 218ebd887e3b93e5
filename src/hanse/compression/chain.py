"""The steps of a plan's list one after another, on one segment."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from hanse.compression.base import Layout, Step, Vector
from hanse.compression.lossless import compress, compressed_bound, decompress, ungroup
from hanse.core.values.parameters import Array
from hanse.core.values.seeds import derive
from hanse.errors import UpdateError


@dataclass(frozen=True)
class Chain:
    """Takes a segment to bytes and back.

    Attributes:
        steps: The lossy ones, in order; none leaves the numbers as they are.
        level: Effort of the lossless compression at the end; None for none.
    """

    steps: tuple[Step, ...]
    level: int | None = None

    def encode(self, values: Array, seed: int) -> Array:
        """Write a segment.

        Args:
            values: A vector, contiguous; float32 or float64 where there are steps, else of any dtype.
            seed: Of the segment; each step gets one of its own.

        Returns:
            uint8.

        Raises:
            UpdateError: A step cannot take such numbers.
        """
        parts: list[Array] = []
        rest: Array | None = values
        for index, step in enumerate(self.steps):
            assert rest is not None
            written, rest = step.encode(rest, derive(seed, index))
            parts += written
        if rest is not None:
            parts.append(rest)
        if self.level is not None:
            return compress(parts, self.level)
        return np.concatenate([part.view(np.uint8) for part in parts])

    def decode(self, data: Array, like: Vector, seed: int) -> Array:
        """Read a segment, from anybody.

        Args:
            data: uint8, contiguous.
            like: What the segment was like.
            seed: As it was for `encode`.

        Raises:
            UpdateError: No `encode` writes such bytes.
        """
        parts = self._parts(data, like)
        vectors, layouts = self._layouts(like)
        rest = parts.pop() if self._last(like) is not None else None
        # A stranger's numbers may overflow on the way; whoever called looks at what comes out.
        with np.errstate(all="ignore"):
            for index in range(len(self.steps) - 1, -1, -1):
                split = len(parts) - len(layouts[index].parts)
                parts, own = parts[:split], parts[split:]
                rest = self.steps[index].decode(own, rest, vectors[index], derive(seed, index))
        assert rest is not None
        return rest

    def size(self, like: Vector) -> int:
        """Bytes that a segment takes, before the lossless compression where there is one."""
        return sum(_size(part) for part in self._all_parts(like))

    def largest(self, like: Vector) -> int:
        """Most bytes that a segment takes."""
        size = self.size(like)
        return size if self.level is None else compressed_bound(size)

    def error_bound(self, values: Array, seed: int) -> float:
        """Largest L2 distance of a segment from what decoding makes of it.

        The sum of the steps' own: each hands on what the one before left, and none magnifies.
        """
        bound, rest = 0.0, values
        for index, step in enumerate(self.steps):
            bound += step.error_bound(rest)
            _, left = step.encode(rest, derive(seed, index))
            if left is None:
                break
            rest = left
        return bound

    def _parts(self, data: Array, like: Vector) -> list[Array]:
        """The vectors that a segment holds; the last may be written to."""
        expected = self._all_parts(like)
        if self.level is not None:
            data = decompress(data, self.size(like))
        elif data.size != self.size(like):
            raise UpdateError(f"a segment has {data.size} bytes, {self.size(like)} are due")
        parts = []
        begin = 0
        for vector in expected:
            piece = data[begin : begin + _size(vector)]
            begin += piece.size
            if self.level is not None:
                piece = ungroup(piece, vector.dtype, vector.size)
            # A copy where it does not stand as numbers must, or is a stranger's file itself.
            parts.append(np.require(piece.view(_dtype(vector.dtype)), requirements=["A", "W"]))
        return parts

    def _all_parts(self, like: Vector) -> Sequence[Vector]:
        _, layouts = self._layouts(like)
        found = [part for layout in layouts for part in layout.parts]
        last = self._last(like)
        return found if last is None else [*found, last]

    def _last(self, like: Vector) -> Vector | None:
        """What no step has consumed, which is written as it is."""
        _, layouts = self._layouts(like)
        if not layouts:
            return like
        return None if layouts[-1].rest is None else Vector(like.dtype, layouts[-1].rest)

    def _layouts(self, like: Vector) -> tuple[list[Vector], list[Layout]]:
        return _layouts(self.steps, like)


@functools.lru_cache(maxsize=4096)
def _layouts(steps: tuple[Step, ...], like: Vector) -> tuple[list[Vector], list[Layout]]:
    """What goes into each step, and what comes of it."""
    vectors, layouts = [], []
    for step in steps:
        layout = step.layout(like)
        vectors.append(like)
        layouts.append(layout)
        if layout.rest is not None:
            like = Vector(like.dtype, layout.rest)
    return vectors, layouts


def _size(vector: Vector) -> int:
    return math.prod((vector.size, _dtype(vector.dtype).itemsize))


@functools.cache
def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)
