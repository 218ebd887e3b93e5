"""An update file, compressed as the plan says, tensor by tensor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hanse.collaborator.memory import Memory
from hanse.compression.update import UpdateCodec, update_seed
from hanse.core.parameters import Array
from hanse.core.plan import Plan
from hanse.wire.files import file_errors
from hanse.wire.messages import Assignment, UpdateFile
from hanse.wire.tensors import open_file, write_file


def compress_file(
    path: Path, codec: UpdateCodec, plan: Plan, site: str, asked: Assignment, memory: Memory
) -> UpdateFile:
    """Replace an update file, which was checked, by what travels of it.

    Needs memory for a few tensors; the rest lies in files beside `path` meanwhile.

    Args:
        path: The update; it appears changed as a whole or not at all.
        codec: What compresses.
        plan: The plan.
        site: The site's name.
        asked: What the update answers.
        memory: What earlier updates left out; what this one leaves out is noted there.

    Raises:
        UpdateError: Numbers that cannot be compressed so; names the tensor.
        StorageError: The disk is full or cannot be written.
    """
    seed = update_seed(plan.seed, site, asked.exchange)
    before = memory.before(asked.task) if codec.error_feedback else None
    with _Spool(path.with_suffix(".encoded")) as encoded, _Spool(path.with_suffix(".left")) as left:
        for tensor in codec.encode(open_file(path), seed, before):
            encoded.add(tensor.name, tensor.data)
            if tensor.left_out is not None:
                left.add(tensor.name, tensor.left_out)
        if codec.error_feedback:
            memory.note(asked.task, asked.exchange, left.tensors())
        digest, size = write_file(path, encoded.tensors())
    return UpdateFile(sha256=digest, size=size)


class _Spool:
    """Tensors on disk whose sizes were not known beforehand; gone at the end of the block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, np.dtype[np.generic], tuple[int, ...]]] = {}
        self._file: BinaryIO

    def __enter__(self) -> _Spool:
        with file_errors(f"write {self._path}"):
            self._file = self._path.open("w+b")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with file_errors(f"delete {self._path}"):
            self._path.unlink(missing_ok=True)

    def add(self, name: str, array: Array) -> None:
        with file_errors(f"write {self._path}"):
            # Aligned for every dtype.
            begin = self._file.seek(-(-self._file.seek(0, os.SEEK_END) // 8) * 8)
            self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._places[name] = (begin, array.dtype, array.shape)

    def tensors(self) -> dict[str, Array]:
        """All tensors, mapped into memory; for as long as nothing is added."""
        with file_errors(f"read {self._path}"):
            self._file.flush()
            empty = os.fstat(self._file.fileno()).st_size == 0
            mapped = np.empty(0, np.uint8) if empty else np.memmap(self._file, np.uint8, "r")
        return {
            name: np.asarray(mapped[begin : begin + _num_bytes(dtype, shape)]).view(dtype).reshape(shape)
            for name, (begin, dtype, shape) in self._places.items()
        }


def _num_bytes(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
