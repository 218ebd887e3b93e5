"""The update of a site, clipped to the bound of its plan before it is rounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from hanse.core.plan.privacy.secure_aggregation import ModelBound
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array
from hanse.privacy.secagg.grid import clip_scale, exceeds

_BLOCK = 1 << 15
_DOT_BLOCK = 1 << 13
"""Numbers of one product in float32, which is off by less than a thousandth then; on one thread."""


def clipped_update(tensors: Mapping[str, Array], bound: ModelBound) -> tuple[dict[str, Array], bool]:
    """Clip the floating-point tensors of an update.

    Args:
        tensors: Finite; arrays or `LazyTensor`s.
        bound: Of the plan: with `l2`, all tensors are scaled as one vector of that length at most; with
            `max`, each number is cut.

    Returns:
        The tensors, scaled in float64 where they are read; and whether anything was clipped.
    """
    largest = bound.clip
    if bound.norm == "max":
        return dict(tensors), any(
            exceeds(block, -largest, largest) for array in tensors.values() for block in _blocks(array)
        )
    scale = clip_scale(norm_of(tensors), largest)
    if scale == 1.0:
        return dict(tensors), False
    return {name: _scaled(array, scale) for name, array in tensors.items()}, True


def surely_within(tensors: Mapping[str, Array], bound: ModelBound) -> bool:
    """Check, faster than `norm_of`, that all numbers are finite and nothing has to be clipped.

    The squares are added in float32, and a hundredth is allowed for that.

    Args:
        tensors: Of the update, floating-point; arrays or `LazyTensor`s.
        bound: Of the plan.

    Returns:
        True where that is certain; False where it is not, also for other bounds and dtypes.
    """
    if bound.norm != "l2" or any(array.dtype != np.float32 for array in tensors.values()):
        return False
    squares, count = 0.0, 0
    with np.errstate(all="ignore"):
        for array in tensors.values():
            for block in _blocks(array):
                parts = (block[begin : begin + _DOT_BLOCK] for begin in range(0, len(block), _DOT_BLOCK))
                squares += sum(float(np.dot(part, part)) for part in parts)
                count += len(block)
    lost = count * 2.0**-120  # squares below the least float32; NaN and infinity make this False
    return squares * 1.01 + lost <= bound.clip**2


def norm_of(tensors: Mapping[str, Array]) -> float:
    """L2 norm of all numbers as one vector, in float64; of numbers whose squares would overflow too."""
    with np.errstate(over="ignore"):
        squares = sum(float(np.sum(np.square(numbers, out=numbers))) for numbers in _wide_blocks(tensors))
    # Unless squares are near the ends of float64, to scale them by a power of two would change no bit.
    return math.sqrt(squares) if 1e-200 < squares < math.inf else _norm_in_scale(tensors)


def _norm_in_scale(tensors: Mapping[str, Array]) -> float:
    """As `norm_of`, of the smallest and the largest numbers too, which takes longer."""
    unit, squares = 1.0, 0.0
    for numbers in _wide_blocks(tensors):
        top = float(np.max(np.abs(numbers), initial=0.0))
        if top > unit * 2.0**400 or (top > 0 and squares == 0):
            wider = math.ldexp(1.0, math.frexp(top)[1] - 1)  # a power of two, which changes no bit
            squares = squares * (unit / wider) ** 2 if squares else 0.0
            unit = wider
        numbers /= unit
        squares += float(np.sum(np.square(numbers, out=numbers)))
    return unit * math.sqrt(squares)


def _wide_blocks(tensors: Mapping[str, Array]) -> Iterator[npt.NDArray[np.float64]]:
    """Blocks of all numbers, copied to float64."""
    return (block.astype(np.float64) for array in tensors.values() for block in _blocks(array))


def _scaled(array: Array, scale: float) -> Array:
    read, block = flat_reader(array)
    dtype = np.dtype(np.float64)
    return LazyTensor(
        array.shape, dtype, lambda begin, end: read(begin, end).astype(np.float64) * scale, block
    ).as_array


def _blocks(array: Array) -> Iterator[Array]:
    read, block = flat_reader(array)
    step = max(_BLOCK // block, 1) * block
    return (read(begin, min(begin + step, array.size)) for begin in range(0, array.size, step))
