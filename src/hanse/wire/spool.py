"""Tensors put aside one by one whose sizes are not known beforehand, so that a file can begin with them."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from hanse.core.values.parameters import Array
from hanse.files.errors import file_errors


class Spool:
    """Tensors on disk, gone at the end of the block, or of the process.

    Args:
        folder: Where the file lies meanwhile, without a name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[str, tuple[int, np.dtype[np.generic], tuple[int, ...]]] = {}
        self._file: IO[bytes]

    def __enter__(self) -> Spool:
        with file_errors(f"write in {self._folder}"):
            self._file = TemporaryFile(dir=self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, name: str, array: Array) -> None:
        """Write a tensor."""
        with file_errors(f"write in {self._folder}"):
            # Aligned for every dtype.
            begin = self._file.seek(-(-self._file.seek(0, os.SEEK_END) // 8) * 8)
            self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._places[name] = (begin, array.dtype, array.shape)

    def tensors(self) -> dict[str, Array]:
        """All tensors, mapped into memory; for as long as nothing is added."""
        with file_errors(f"read in {self._folder}"):
            self._file.flush()
            empty = os.fstat(self._file.fileno()).st_size == 0
            mapped = np.empty(0, np.uint8) if empty else np.memmap(self._file, np.uint8, "r")
        return {
            name: np.asarray(mapped[begin : begin + _num_bytes(dtype, shape)]).view(dtype).reshape(shape)
            for name, (begin, dtype, shape) in self._places.items()
        }


def _num_bytes(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
