"""Half precision and bfloat16: fewer bits a number, by rounding.

Micikevicius et al. (2018), "Mixed Precision Training", ICLR, section 3, on half
precision and why small gradients have to be scaled into its range;
https://arxiv.org/abs/1710.03740. Kalamkar et al. (2019), "A Study of BFLOAT16
for Deep Learning Training", section 3; https://arxiv.org/abs/1905.12322.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from hanse.compression.base import Layout, Step, Vector, largest, norm
from hanse.compression.randomness import raw16
from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

_BF16 = np.dtype(ml_dtypes.bfloat16)
_LARGEST_BF16 = float.fromhex("0x1.fep127")
_TOP = 15
"""The largest number of a segment is brought below 2 to this power; half precision reaches to 16."""
_BELOW_TOP = 2.0**_TOP - 2.0 ** (_TOP - 11)
"""The half-precision number just below."""


@dataclass(frozen=True, slots=True)
class HalfStep(Step):
    """IEEE half precision of the numbers, divided by a power of two that fits their largest."""

    def layout(self, like: Vector) -> Layout:
        """An exponent, and a half-precision number for each."""
        return Layout((Vector("int16", 1), Vector("float16", like.size)))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Divide and round to nearest, ties to even."""
        exponent = _exponent(values)
        scaled = values * values.dtype.type(math.ldexp(1.0, -exponent))
        if exponent + _TOP >= np.finfo(values.dtype).maxexp:
            # What would round up to a power of two that the dtype does not reach.
            np.clip(scaled, -_BELOW_TOP, _BELOW_TOP, out=scaled)
        return [np.array([exponent], np.int16), scaled.astype(np.float16)], None

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Multiply again; exact, but for numbers too small for the dtype."""
        exponent = int(parts[0][0])
        if not -1022 <= exponent <= 1023:
            raise UpdateError(f"the exponent of a segment is {exponent}, which no number has")
        values = parts[1].astype(like.dtype)
        values *= values.dtype.type(math.ldexp(1.0, exponent))
        return values

    def error_bound(self, values: Array) -> float:
        """2**-11 of each number; near zero half of half precision's smallest step, times the scale."""
        smallest = math.ldexp(1.0, _exponent(values) - 25) + float(np.finfo(values.dtype).smallest_subnormal)
        return 2.0**-11 * norm(values) + smallest * math.sqrt(values.size)


@dataclass(frozen=True, slots=True)
class BrainStep(Step):
    """bfloat16: the sign, the exponent and the first 8 bits of a float32.

    Attributes:
        stochastic: Round up or down at random, so that it is right on average; else to nearest,
            ties to even.
    """

    stochastic: bool = False

    def layout(self, like: Vector) -> Layout:
        """A bfloat16 for each number."""
        return Layout((Vector("bfloat16", like.size),))

    def encode(self, values: Array, seed: int) -> tuple[list[Array], Array | None]:
        """Round; what would round to infinity becomes the largest number."""
        top = largest(values)
        if top > float(np.finfo(np.float32).max):
            raise UpdateError(
                "it has numbers that are too large for bfloat16", mend="Use `int8`, or `zstd` alone."
            )
        # Beyond the largest bfloat16 lies infinity.
        bounded = np.clip(values, -_LARGEST_BF16, _LARGEST_BF16) if top > _LARGEST_BF16 else values
        if not self.stochastic:
            return [bounded.astype(np.float32, copy=False).astype(_BF16)], None
        # Adds to the magnitude, as the sign is the highest bit; a carry goes to the next number.
        bits = bounded.astype(np.float32, copy=False).view(np.uint32) + raw16(seed, values.size)
        return [(bits >> np.uint32(16)).astype(np.uint16).view(_BF16)], None

    def decode(self, parts: Sequence[Array], rest: Array | None, like: Vector, seed: int) -> Array:
        """Widen; exact."""
        return parts[0].astype(like.dtype)

    def error_bound(self, values: Array) -> float:
        """2**-8 of each number at nearest (2**-9 below the largest), 2**-7 at random."""
        relative, smallest = (2.0**-7, 2.0**-133) if self.stochastic else (2.0**-8, 2.0**-134)
        return relative * norm(values) * (1 + 2.0**-20) + smallest * math.sqrt(values.size)


def _exponent(values: Array) -> int:
    """Of the power of two that the numbers of a segment are divided by."""
    top = math.frexp(largest(values))[1] - _TOP
    # Not below what has a reciprocal: numbers smaller than that keep fewer bits.
    return max(top, int(np.finfo(values.dtype).minexp))
