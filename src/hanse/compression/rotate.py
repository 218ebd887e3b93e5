"""A random rotation, after which no number stands out.

The randomized Hadamard transform: signs at random, then the Walsh-Hadamard
matrix. Suresh, Yu, Kumar and McMahan (2017), "Distributed Mean Estimation with
Limited Communication", ICML, section 3; https://arxiv.org/abs/1611.00429. In
blocks, as Vargaftik et al. (2022), `hanse.compression.eden`, section 6.

Sums and differences only, and one product: so every machine gets the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.compression.base import Layout, Step, Vector, largest, norm
from hanse.compression.randomness import random_bits
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_LONGEST = 1024
"""Numbers that are rotated together. A power of two."""
_SIGN_BITS = {"float32": (np.uint32, 31), "float64": (np.uint64, 63)}


def block_shape(size: int) -> tuple[int, int]:
    """How a vector is laid out to be rotated: length of the blocks, and their number.

    Block j has every so-many-th number from the j-th on, so that a sum of two
    rows, long stretches of memory, works on all blocks at once.
    """
    length = min(_LONGEST, 1 << max(size - 1, 0).bit_length())
    return length, -(-size // length)


def rotate(values: Array, seed: int) -> Array:
    """Rotate a vector, padded with zeros, block by block; the matrix of (length, blocks).

    Raises:
        UpdateError: Its numbers are so large that sums of them could overflow.
    """
    length, blocks = block_shape(values.size)
    if largest(values) > largest_rotatable(values.dtype):
        raise UpdateError("it has numbers that are too large to be rotated", mend="Use `int8` by block.")
    padded = np.empty(length * blocks, values.dtype)
    padded[values.size :] = 0
    np.multiply(values, values.dtype.type(1 / math.sqrt(length)), out=padded[: values.size])
    _flip(padded, seed)
    return _hadamard(padded.reshape(length, blocks))


def rotate_back(rotated: Array, size: int, seed: int) -> Array:
    """The vector that `rotate` was given, but for rounding; `rotated` is overwritten."""
    length, _ = rotated.shape
    rotated *= rotated.dtype.type(1 / math.sqrt(length))
    padded = _hadamard(rotated).reshape(-1)
    _flip(padded, seed)
    return padded[:size]


def largest_rotatable(dtype: np.dtype[Any]) -> float:
    """Largest magnitude of which a block is rotated, quantised and rotated back without overflow."""
    return float(np.finfo(dtype).max) / (256 * _LONGEST)


def rotation_error(values: Array) -> float:
    """Bound of what rounding does to a vector that is rotated and rotated back, in L2."""
    passes = 2 * (_LONGEST.bit_length() + 2)
    tiny = float(np.finfo(values.dtype).smallest_subnormal) * passes * _LONGEST
    return float(np.finfo(values.dtype).eps) * passes * norm(values) + tiny * math.sqrt(values.size)


@dataclass(frozen=True, slots=True)
class RotateStep(Step):
    """Rotates, for a step after it that rounds: errors then are spread, and have the norm they had."""

    def layout(self, like: Vector) -> Layout:
        """Nothing but the rotated numbers, as the rest: as many, up to whole blocks."""
        return Layout((), math.prod(block_shape(like.size)))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Rotate."""
        return [], rotate(values, seed).reshape(-1)

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Rotate back."""
        assert rest is not None
        return rotate_back(rest.reshape(block_shape(like.size)), like.size, seed)

    def error_bound(self, values: Array) -> float:
        """That of rounding alone."""
        return rotation_error(values)


def _flip(values: Array, seed: int) -> None:
    """Multiply by signs at random."""
    kind, position = _SIGN_BITS[values.dtype.name]
    signs = random_bits(seed, values.size).astype(kind)
    signs <<= kind(position)
    bits = values.view(kind)
    bits ^= signs


def _hadamard(matrix: Array) -> Array:
    """Walsh-Hadamard transform along the first axis, unscaled; `matrix` is overwritten.

    Every pass is the same: row i and the one half the length below become rows 2i and 2i + 1
    (Pease 1968). After as many passes as there are bits in an index, all are where they belong;
    and what is read are two long stretches of memory, a fifth faster than in passes of growing stride.
    """
    length, blocks = matrix.shape
    half = length // 2
    source, target = matrix, np.empty_like(matrix)
    for _ in range(length.bit_length() - 1):
        pairs = target.reshape(half, 2, blocks)
        np.add(source[:half], source[half:], out=pairs[:, 0])
        np.subtract(source[:half], source[half:], out=pairs[:, 1])
        source, target = target, source
    return source
