"""Numbers on a grid, as words of the ring of integers modulo 2^32 or 2^64, and back.

A real number in [-C, C] is rounded to one of the two neighbouring points of the grid g = C / 2^b, at
random, so that its mean is the number. b is the largest with which no sum over the members of a cell
wraps around. Section "Numeric error" of `docs/secure-aggregation.md` has the bounds that are held here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hanse.core.values.parameters import Array
from hanse.errors import UpdateError

Ring = Literal[32, 64]
"""Bits of a word."""

Words = npt.NDArray[Any]
"""Words of a ring: `<u4` or `<u8`."""

Randomness = Callable[[int], bytes]
"""Gives as many random bytes as are asked for: the operating system's, or a simulator's from its seed."""

MOST_BITS = 48
"""Of the grid; leaves float64 five bits behind the point of the largest number."""

_LEAST_BOUND, _LARGEST_BOUND = 2.0**-500, 2.0**500
_BYTES_A_NUMBER = 4


def words_dtype(ring: Ring) -> np.dtype[Any]:
    """Dtype of the words: little-endian, unsigned."""
    return np.dtype("<u4" if ring == 32 else "<u8")


def grid_bits(ring: Ring, members: int) -> int:
    """b, the number of bits of a coordinate beside its sign.

    Args:
        ring: Bits of a word.
        members: Of the largest cell, at least 1.

    Returns:
        The largest b with `members * 2**b < 2**(ring - 1)`, at most 48.
    """
    return min((largest_sum(ring) // members).bit_length() - 1, MOST_BITS)


def largest_sum(ring: Ring) -> int:
    """Largest sum that does not wrap around, with either sign."""
    return (1 << (ring - 1)) - 1


def check_range(low: float, high: float, what: str) -> None:
    """Refuse a range that the grid cannot divide.

    Raises:
        ValueError: It is empty, not finite, or far from any number that is met.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range of {what} has to be two finite numbers, the first below the second")
    if not _LEAST_BOUND <= max(abs(low), abs(high)) <= _LARGEST_BOUND:
        raise ValueError(f"the larger end of the range of {what} has to be between 2^-500 and 2^500")


def clip_scale(norm: float, bound: float) -> float:
    """The factor that scales a vector down to a length.

    Args:
        norm: Length of the vector, L2, in float64.
        bound: Largest length, above 0.

    Returns:
        `min(1, bound / norm)`; 1 for a vector of zeros.

    Raises:
        UpdateError: The norm is not finite.
    """
    if not math.isfinite(norm):
        raise UpdateError("the norm of the update is not finite")
    return 1.0 if norm <= bound else bound / norm


def weight_of(examples: int, most: int) -> float:
    """w: min(examples, most) / most, one division in float64."""
    return float(min(examples, most)) / float(most)


def exceeds(values: Array, low: float, high: float) -> bool:
    """Check if any number is outside of [low, high]."""
    if values.dtype.kind not in "iub":  # a comparison in bfloat16 would round the ends
        values = values.astype(np.float64)
    return bool(np.any(values < low) or np.any(values > high)) if values.size else False


def real_words(
    values: Array, low: float, high: float, *, ring: Ring, bits: int, weight: float, randomness: Randomness
) -> Words:
    """Round real numbers to the grid.

    Args:
        values: Numbers of any dtype; what is outside of the range is clipped to it.
        low: Least number.
        high: Largest number; C is the larger of |low| and |high|.
        ring: Bits of a word.
        bits: b, from `grid_bits`.
        weight: 0 to 1; the numbers are multiplied with it.
        randomness: 4 bytes are taken for each number.

    Returns:
        One word a number, in the shape of `values`.

    Raises:
        UpdateError: A number is not finite.
    """
    scaled = _clipped(values.astype(np.float64), low, high)
    if weight != 1.0:
        scaled *= weight
    scaled /= step_of(low, high, bits)
    below = np.floor(scaled)
    drawn = np.frombuffer(randomness(_BYTES_A_NUMBER * scaled.size), "<u4").reshape(scaled.shape)
    scaled -= below
    scaled *= 2.0**32
    below += drawn < np.floor(scaled, out=scaled)
    if ring == 32:  # a number has at most 31 bits then
        return below.astype("<i4").view("<u4")
    return wrapped(below.astype(np.int64), ring)


def _clipped(numbers: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Clip finite numbers in place."""
    if not numbers.size:
        return numbers
    least, most = float(numbers.min()), float(numbers.max())  # NaN where one of them is
    if not (math.isfinite(least) and math.isfinite(most)):
        raise UpdateError("a number is not finite")
    # The clip is the last thing before rounding, in the precision of the rounding: bfloat16 and rotations
    # in float32 exceed the bound by a little, and n of these would be beyond what the sum may be.
    return np.clip(numbers, low, high, out=numbers) if least < low or most > high else numbers


def whole_words(values: Array, low: int, high: int, *, ring: Ring) -> Words:
    """Whole numbers as words; what is outside of the range is clipped to it.

    Args:
        values: Integers or booleans.
        low: Least number.
        high: Largest number.
        ring: Bits of a word.

    Returns:
        One word a number, in the shape of `values`.
    """
    numbers = values.astype(np.int64) if values.dtype == np.bool_ else values
    span = np.iinfo(numbers.dtype)
    lowest, highest = (min(max(end, int(span.min)), int(span.max)) for end in (low, high))
    return wrapped(np.clip(numbers, lowest, highest).astype(np.int64), ring)


def wrapped(numbers: npt.NDArray[np.int64], ring: Ring) -> Words:
    """Integers modulo 2^ring."""
    return numbers.astype(np.int64, copy=False).view(np.uint64).astype(words_dtype(ring))


def signed_sum(words: Words, most: int) -> npt.NDArray[np.int64]:
    """The opened words of a sum as integers.

    Args:
        words: Words of the sum, modulo 2^32 or 2^64.
        most: Largest absolute value that a sum of members that keep to their ranges has.

    Returns:
        int64, in the shape of `words`.

    Raises:
        UpdateError: A coordinate is outside: a member did not keep to its range, or masks do not cancel.
    """
    numbers = words.view("<i4" if words.dtype.itemsize == 4 else "<i8").astype(np.int64)
    if exceeds(numbers, -most, most):
        raise UpdateError(
            "the sum of a cell has a coordinate that no members have who keep to their ranges",
            mend="A member has sent something else than its masked update; the sum cannot be used.",
        )
    return numbers


def step_of(low: float, high: float, bits: int) -> float:
    """g, the distance of two points of the grid."""
    return math.ldexp(max(abs(low), abs(high)), -bits)


def standard_error(step: float, sites: int, divisor: float) -> float:
    """Standard error of an opened coordinate, at most: g sqrt(n) / (2 divisor).

    Args:
        step: g.
        sites: n, members whose numbers were added.
        divisor: 1 for a total, n for a mean, the sum of the weights for a weighted mean.
    """
    return step * math.sqrt(sites) / (2 * divisor)


def largest_error(step: float, bits: int, sites: int, divisor: float) -> float:
    """Bound of the error of an opened coordinate, but for the last rounding to float64.

    Args:
        step: g.
        bits: b; the arithmetic of float64 adds 2^(b - 51) of a step a site.
        sites: n, members whose numbers were added.
        divisor: As for `standard_error`.
    """
    return step * sites * (1 + 2.0 ** (bits - 51)) / divisor
