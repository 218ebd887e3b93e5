"""One bit, or a few, a number, after a random rotation: DRIVE and EDEN.

Vargaftik, Ben Basat, Portnoy, Mendelson, Ben-Itzhak and Mitzenmacher (2021),
"DRIVE: One-bit Distributed Mean Estimation", NeurIPS, Algorithm 1 with the scale
of Theorem 2, https://arxiv.org/abs/2105.08339; (2022), "EDEN: Communication-Efficient and
Robust Distributed Mean Estimation for Federated Learning", ICML, Algorithm 1
with the scale of Theorem 2.1, https://arxiv.org/abs/2108.08842.

The rotated numbers are close to normally distributed, whatever they were, so
that one codebook serves all: the best for a normal distribution (Lloyd 1982;
Max 1960). The scale makes the outcome right on average over rotations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.compression.base import Layout, Step, Vector, norm
from hanse.compression.rotate import block_shape, rotate, rotate_back, rotation_error
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_POSITIVE_LEVELS = {
    1: (0.7978845608028654,),
    2: (0.45278, 1.51044),
    4: (0.12840, 0.38806, 0.65677, 0.94235, 1.25621, 1.61814, 2.06933, 2.73263),
}
"""Upper half of the best levels for a standard normal distribution (Max 1960, table I), by bits."""


@dataclass(frozen=True, slots=True)
class EdenStep(Step):
    """The nearest of 2, 4 or 16 levels for each number of the rotated blocks, and a scale for each block.

    With one bit this is DRIVE.

    Attributes:
        bits: 1, 2 or 4.
    """

    bits: int

    def layout(self, like: Vector) -> Layout:
        """A scale a block of the dtype of the vector, and the codes."""
        length, blocks = block_shape(like.size)
        return Layout((Vector(like.dtype, blocks), Vector("uint8", -(-length * blocks * self.bits // 8))))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Rotate, normalise, find the nearest levels, and the scale that is right on average."""
        rotated = rotate(values, seed)
        # Of magnitude at most 1: squares of large numbers overflow, of small ones vanish.
        tops = np.maximum(rotated.max(axis=0), -rotated.min(axis=0))
        zero = tops == 0
        tops[zero] = 1
        rotated /= tops
        squares = np.einsum("ij,ij->j", rotated, rotated)
        squares[zero] = 1
        rotated *= np.sqrt(len(rotated) / squares)
        codes = self._nearest(rotated)
        chosen = self._chosen(codes.reshape(-1), values.dtype).reshape(rotated.shape)
        # <y, y> / <y, c>, where y now has the square of its norm equal to its length.
        products = np.einsum("ij,ij->j", rotated, chosen)
        products[zero] = 1
        scales = np.where(zero, 0, tops * np.sqrt(squares / len(rotated)) * (len(rotated) / products))
        return [scales.astype(values.dtype), _pack(codes.reshape(-1), self.bits)], None

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Take the levels, scale, and rotate back."""
        scales, packed = parts
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise UpdateError("a scale is not a finite number of at least 0")
        shape = block_shape(like.size)
        codes = _unpack(packed, self.bits, math.prod(shape))
        rotated = self._chosen(codes, np.dtype(like.dtype)).reshape(shape)
        rotated *= scales
        return rotate_back(rotated, like.size, seed)

    def error_bound(self, values: Array) -> float:
        """The norm times the root of d, d numbers a block, and a factor below 2.5: what no rotation exceeds.

        The error is the norm times the tangent of the angle between the rotated numbers and their
        levels. Both are ordered alike (Chebyshev's sum inequality), and the levels lie between their
        least and greatest (Kantorovich's), which bounds the angle. On average over rotations the
        error of long vectors is far less: the norm times the root of `1/(1 - D) - 1`, D the mean squared
        error of the levels for a standard normal distribution (Max 1960, table I).
        """
        length, _ = block_shape(values.size)
        low, high = _POSITIVE_LEVELS[self.bits][0], _POSITIVE_LEVELS[self.bits][-1]
        worst = math.sqrt(length) * (low + high) / (2 * math.sqrt(low * high))
        return norm(values) * worst * (1 + 2.0**-10) + rotation_error(values) * (1 + worst)

    def _levels(self, dtype: np.dtype[Any]) -> Array:
        upper = _POSITIVE_LEVELS[self.bits]
        return np.array([*(-level for level in reversed(upper)), *upper], dtype)

    def _chosen(self, codes: Array, dtype: np.dtype[Any]) -> Array:
        """The level of each code."""
        chosen = np.empty(codes.size, dtype)
        # Clipped, which nothing has to be: to raise instead takes twice the time.
        return np.take(self._levels(dtype), codes, out=chosen, mode="clip")

    def _nearest(self, values: Array) -> Array:
        """Codes: how many of the boundaries, halfway between levels, a number lies above."""
        levels = self._levels(values.dtype)
        codes = np.zeros(values.shape, np.uint8)
        for boundary in (levels[:-1] + levels[1:]) / 2:
            codes += values > boundary
        return codes


def _pack(codes: Array, bits: int) -> Array:
    """Put 8 / bits codes in a byte, the first in the highest bits."""
    if bits == 1:
        return np.packbits(codes)
    each = 8 // bits
    padded = np.zeros(-(-codes.size // each) * each, np.uint8)
    padded[: codes.size] = codes
    packed = padded[0::each].copy()
    for place in range(1, each):
        packed <<= np.uint8(bits)
        packed |= padded[place::each]
    return packed


def _unpack(packed: Array, bits: int, size: int) -> Array:
    if bits == 1:
        return np.unpackbits(packed, count=size)
    each = 8 // bits
    codes = np.empty(packed.size * each, np.uint8)
    for place in range(each):
        np.right_shift(packed, bits * (each - 1 - place), out=codes[place::each])
    codes &= np.uint8((1 << bits) - 1)
    return codes[:size]
