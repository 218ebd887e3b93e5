"""One tensor as bytes: its segments one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from hanse.compression.base import Vector
from hanse.compression.casts import BrainStep
from hanse.compression.chain import Chain
from hanse.core.plan.transforms import SEGMENT
from hanse.core.values.parameters import Array, TensorSpec, is_floating
from hanse.core.values.seeds import derive
from hanse.errors import UpdateError

_LENGTH = np.dtype("<u4")
"""Of the lengths of compressed segments, which precede them."""


@dataclass(frozen=True)
class TensorCodec:
    """Takes a tensor to bytes and back, segment by segment.

    Attributes:
        spec: The tensor's shape, not empty, and dtype.
        chain: What is done to each segment.
    """

    spec: TensorSpec
    chain: Chain

    def problem(self, encoded: TensorSpec) -> str:
        """Say in words why an encoded tensor cannot be one of this; empty where it can."""
        if self._as_bf16:
            expected = TensorSpec(self.spec.shape, "bfloat16")
            return "" if encoded == expected else f"is {encoded}, expected {expected}"
        low, high = self.sizes
        if encoded.dtype != "uint8" or len(encoded.shape) != 1 or not low <= encoded.shape[0] <= high:
            return f"is {encoded}, expected from {low} to {high} bytes"
        return ""

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most bytes that the tensor takes."""
        exact = sum(self.chain.size(like) for like in self._segments())
        if self.chain.level is None:
            return exact, exact
        table = _LENGTH.itemsize * self.num_segments
        return table + self.num_segments, table + sum(self.chain.largest(like) for like in self._segments())

    @property
    def size(self) -> int:
        """How many numbers the tensor has."""
        return math.prod(self.spec.shape)

    @property
    def num_segments(self) -> int:
        """How many segments the tensor has."""
        return -(-self.size // SEGMENT)

    def bounds(self, index: int) -> tuple[int, int]:
        """Where a segment begins and ends in the flat tensor."""
        return index * SEGMENT, min((index + 1) * SEGMENT, self.size)

    def segment(self, flat: Array, index: int) -> Array:
        """A segment of the flat tensor as numbers to be encoded; perhaps a view."""
        begin, end = self.bounds(index)
        piece = flat[begin:end]
        return piece.view(self.dtype) if not self.chain.steps else piece.astype(self.dtype, copy=False)

    def encode(self, values: Array, index: int, seed: int) -> Array:
        """Write a segment.

        Args:
            values: As `segment` gives it.
            index: Which segment it is.
            seed: Of the tensor.

        Raises:
            UpdateError: A NaN or an infinity, or numbers that a step cannot take.
        """
        if self.chain.steps and not np.isfinite(values).all():
            raise UpdateError("it has a NaN or an infinity")
        return self.chain.encode(values, derive(seed, index))

    def join(self, segments: list[Array]) -> Array:
        """The encoded tensor of its encoded segments."""
        if self.chain.level is None:
            data = np.concatenate(segments)
            return data.view(ml_dtypes.bfloat16).reshape(self.spec.shape) if self._as_bf16 else data
        lengths = np.array([segment.size for segment in segments], _LENGTH)
        return np.concatenate([lengths.view(np.uint8), *segments])

    def split(self, encoded: Array) -> list[Array]:
        """The encoded segments of an encoded tensor, from anybody; views.

        Args:
            encoded: One in which `problem` sees none.

        Raises:
            UpdateError: The lengths in it are not those of its segments.
        """
        data = encoded.reshape(-1).view(np.uint8)
        if self.chain.level is None:
            lengths = [self.chain.size(like) for like in self._segments()]
            begin = 0
        else:
            begin = _LENGTH.itemsize * self.num_segments
            lengths = data[:begin].view(_LENGTH).tolist()
        ends = begin + np.cumsum(lengths)
        if ends[-1] != data.size:
            raise UpdateError("its segments' lengths do not add up")
        return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def decode(self, data: Array, index: int, seed: int) -> Array:
        """Read a segment, from anybody.

        Args:
            data: One of `split`.
            index: Which it is.
            seed: Of the tensor.

        Returns:
            A vector of the tensor's dtype, finite.

        Raises:
            UpdateError: No `encode` writes such bytes.
        """
        begin, end = self.bounds(index)
        values = self.chain.decode(data, Vector(self.dtype.name, end - begin), derive(seed, index))
        dtype = _dtype(self.spec.dtype)
        if not self.chain.steps:
            values = values.view(dtype)
            if dtype == np.bool_ and values.view(np.uint8).max() > 1:
                raise UpdateError("it is boolean and holds other values than 0 and 1")
        if is_floating(values.dtype) and not np.isfinite(values).all():
            raise UpdateError("it has a NaN or an infinity")
        if values.dtype == dtype:
            return values
        # A narrower dtype: what rounding took over its edge comes back onto it.
        edge = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]
        return np.clip(values, -edge, edge).astype(dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What segments are encoded from: float32 or float64; as they are where nothing is lost."""
        dtype = _dtype(self.spec.dtype)
        if not self.chain.steps:
            return np.dtype(f"u{dtype.itemsize}")
        return dtype if dtype == np.float64 else np.dtype(np.float32)

    @property
    def _as_bf16(self) -> bool:
        """Whether the tensor is bfloat16 on the wire, and anybody can read it."""
        steps = self.chain.steps
        return len(steps) == 1 and isinstance(steps[0], BrainStep) and self.chain.level is None

    def _segments(self) -> Iterator[Vector]:
        for index in range(self.num_segments):
            begin, end = self.bounds(index)
            yield Vector(self.dtype.name, end - begin)


def _dtype(name: str) -> np.dtype[Any]:
    special = name.startswith(("bfloat", "float8"))
    return np.dtype(getattr(ml_dtypes, name)) if special else np.dtype(name)
