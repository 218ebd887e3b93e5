"""Tensors that are computed where they are read, block by block, so that a whole one never lies in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]

FlatReader = Callable[[int, int], _Array]
"""Gives the numbers from one index to before another of a flat tensor."""

_BLOCK = 1 << 18


class LazyTensor:
    """Stands for a tensor that is computed where it is read, and turns into an array where one is needed.

    It has the few attributes of an array that are asked for on the way to a
    file. What it is made from must stay as it is until then. May be read from
    any thread.

    Attributes:
        shape: Of the tensor.
        dtype: Of the tensor, in the machine's byte order.
        size: Count of its numbers.
        nbytes: Its size in bytes.
        block: Of how many numbers ranges had best be multiples.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], read: FlatReader, block: int = 1
    ) -> None:
        """Stand for what `read` gives.

        Args:
            shape: Of the tensor.
            dtype: Of what `read` gives.
            read: Computes a range of the flat tensor.
            block: See above.
        """
        self.shape, self.dtype, self.block = shape, dtype, block
        self.size = int(np.prod(shape, dtype=np.int64))
        self.nbytes = self.size * dtype.itemsize
        self._read = read

    @property
    def as_array(self) -> _Array:
        """Itself, for where an array is declared: it has what is asked of it there."""
        return cast("_Array", self)

    def flat_range(self, begin: int, end: int) -> _Array:
        """The numbers from `begin` to before `end` of the flat tensor."""
        return self._read(begin, end)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> _Array:
        whole = np.empty(self.size, self.dtype)
        step = -(-_BLOCK // self.block) * self.block
        for begin in range(0, self.size, step):
            end = min(begin + step, self.size)
            whole[begin:end] = self._read(begin, end)
        return np.asarray(whole.reshape(self.shape), dtype)


def flat_reader(array: _Array | LazyTensor) -> tuple[FlatReader, int]:
    """How to read a tensor in ranges, be it an array or what is computed when it is read.

    Returns:
        What gives a range, and of how many numbers ranges had best be multiples.
    """
    if isinstance(array, LazyTensor):
        return array.flat_range, array.block
    whole = array.reshape(-1)
    return (lambda begin, end: whole[begin:end]), 1


def materialize(parameters: Mapping[str, _Array]) -> dict[str, _Array]:
    """Tensors as arrays, whether they were or not."""
    return {name: np.asarray(array) for name, array in parameters.items()}
