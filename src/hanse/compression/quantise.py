"""Whole numbers of 8 or 4 bits, rounded at random.

Alistarh, Grubic, Li, Tomioka and Vojnovic (2017), "QSGD: Communication-Efficient
SGD via Gradient Quantization and Encoding", NeurIPS, section 3.1, with the
largest magnitude of a block for its scale in place of the norm (as section 4
does in practice); https://arxiv.org/abs/1610.02132.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse.compression.base import Layout, Step, Vector
from hanse.compression.randomness import uniform
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_LEVELS = {8: 127, 4: 7}
_OFFSET = 8
"""What is added to a 4-bit number, so that its half byte is one from 1 to 15."""


@dataclass(frozen=True, slots=True)
class QuantiseStep(Step):
    """`scale * q` with a whole q from -127 to 127, or -7 to 7, one scale a block.

    The mean of q over seeds is `value / scale`, but for 2**-17 (the random
    numbers have 16 bits) and the rounding of that quotient.

    Attributes:
        bits: 8 or 4.
        block: Numbers that share a scale; None for all.
    """

    bits: int
    block: int | None = None

    def layout(self, like: Vector) -> Layout:
        """Scales of the dtype of the vector, and the whole numbers."""
        scales = Vector(like.dtype, -(-like.size // self._block(like.size)))
        if self.bits == 8:
            return Layout((scales, Vector("int8", like.size)))
        return Layout((scales, Vector("uint8", -(-like.size // 2))))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Divide by the scale, and round up with the probability of what is over."""
        levels, block = _LEVELS[self.bits], self._block(values.size)
        scales = _scales(values, levels, block)
        # A block of zeros has scale 0 and stays zero.
        quotients = _by_block(np.divide, values, np.where(scales > 0, scales, 1), block)
        quotients += uniform(seed, values.size, values.dtype)
        np.floor(quotients, out=quotients)
        # The quotient of the largest may round to a little more than there are levels.
        np.clip(quotients, -levels, levels, out=quotients)
        if self.bits == 8:
            return [scales, quotients.astype(np.int8)], None
        return [scales, _pack(quotients)], None

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Multiply by the scale."""
        scales, codes = parts
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise UpdateError("a scale is not a finite number of at least 0")
        whole = codes if self.bits == 8 else _unpack(codes, like.size)
        if self.bits == 8 and whole.min() < -_LEVELS[8]:
            raise UpdateError("a whole number is out of its range")
        values = whole.astype(like.dtype)
        return _by_block(np.multiply, values, scales, self._block(like.size), out=values)

    def error_bound(self, values: Array) -> float:
        """One scale for each number that is not zero: the largest of its block over 127, or 7."""
        levels, block = _LEVELS[self.bits], self._block(values.size)
        scales = _scales(values, levels, block).astype(np.float64)
        sizes = np.full(scales.size, block, np.float64)
        sizes[-1] = values.size - block * (scales.size - 1)
        top = scales.max()
        if not top:
            return 0.0
        # Two roundings, of the quotient and of the product, of at most `levels` units each.
        slack = 1 + 4 * levels * float(np.finfo(values.dtype).eps)
        return float(top) * math.sqrt(float(np.dot(np.square(scales / top), sizes))) * slack

    def _block(self, size: int) -> int:
        return size if self.block is None else min(self.block, size)


def _scales(values: Array, levels: int, block: int) -> Array:
    full = values.size // block * block
    blocks = values[:full].reshape(-1, block)
    # The larger of both ends, and no array of magnitudes.
    tops = np.maximum(blocks.max(axis=1), -blocks.min(axis=1))
    if full < values.size:
        rest = values[full:]
        tops = np.append(tops, max(rest.max(), -rest.min()))
    scales = tops / values.dtype.type(levels)
    # The quotient of a tiny number may round to zero, and then its block would be lost.
    np.maximum(scales, np.finfo(values.dtype).smallest_subnormal, out=scales, where=tops > 0)
    with np.errstate(over="ignore"):
        # So that the largest number there is comes back as a number.
        overflows = ~np.isfinite(scales * values.dtype.type(levels))
    return np.asarray(np.where(overflows, np.nextafter(scales, values.dtype.type(0)), scales))


def _by_block(
    operation: np.ufunc, values: Array, scales: Array, block: int, out: Array | None = None
) -> Array:
    """Apply an operation between each number and its block's scale."""
    result = np.empty_like(values) if out is None else out
    full = values.size // block * block
    whole = full // block
    operation(values[:full].reshape(-1, block), scales[:whole, None], out=result[:full].reshape(-1, block))
    if full < values.size:
        operation(values[full:], scales[-1], out=result[full:])
    return result


def _pack(quotients: Array) -> Array:
    """Two whole numbers a byte, the first in the lower half; the last byte may have only one."""
    codes = np.full(-(-quotients.size // 2) * 2, _OFFSET, np.uint8)
    np.add(quotients, _OFFSET, out=codes[: quotients.size], casting="unsafe")
    return np.asarray(codes[0::2] | (codes[1::2] << np.uint8(4)))


def _unpack(packed: Array, size: int) -> Array:
    codes = np.empty(packed.size * 2, np.int8)
    np.bitwise_and(packed, 15, out=codes[0::2].view(np.uint8))
    np.right_shift(packed, 4, out=codes[1::2].view(np.uint8))
    codes -= _OFFSET
    if codes.min() < -_LEVELS[4] or codes[size:].any():
        raise UpdateError("a 4-bit number is out of its range")
    return codes[:size]
