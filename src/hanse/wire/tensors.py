"""Tensors to bytes and back, in the safetensors format; nothing is copied on the way.

Eight bytes of header length, a JSON header, then the raw little-endian arrays:
https://huggingface.co/docs/safetensors. The same tensors always give the same
bytes, and these are those of the reference implementation. What is read may be
a stranger's: it is checked in full before any of it is used.
"""

from __future__ import annotations

import io
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hanse.core.values.digests import Algorithm, Hasher
from hanse.core.values.lazy import LazyTensor, flat_reader
from hanse.core.values.parameters import Array, Parameters, TensorSpec, dtype_name, specs
from hanse.errors import UpdateError
from hanse.files.atomic import writing
from hanse.files.errors import file_errors
from hanse.wire.tensor_headers import Entry, header_of, layout, read_header

_BLOCK_BYTES = 1 << 20
_AHEAD = min(os.cpu_count() or 1, 4)
"""Pieces that are computed before the one that is written."""


def encode(parameters: Parameters) -> bytes:
    """Write tensors as bytes, for what is small; `write_file` is for models.

    Raises:
        UpdateError: A name or a dtype cannot be written; names the tensor.
    """
    return b"".join(_chunks(parameters))


def decode(data: bytes) -> dict[str, Array]:
    """Read what `encode` wrote, from anybody.

    Returns:
        Read-only views of `data`, in the order of their names.

    Raises:
        UpdateError: It is not whole, or not a safetensors file; names the tensor.
    """
    start, entries = read_header(io.BytesIO(data), len(data), "the tensors")
    return _views(np.frombuffer(data, dtype=np.uint8)[start:], entries, "the tensors")


def write_file(path: Path, parameters: Parameters, *, durable: bool = False, over: Path | None = None) -> int:
    """Write tensors to a file, which appears whole or not at all.

    Args:
        path: The file; replaced where it exists.
        parameters: The tensors; contiguous ones are not copied.
        durable: Whether the file outlasts a power failure once this returns.
        over: A file that is of no more use, see `hanse.files.atomic.writing`.

    Returns:
        Its size in bytes.

    Raises:
        UpdateError: A name or a dtype cannot be written; names the tensor.
        StorageError: The disk is full or cannot be written.
    """
    return _write(path, _chunks(parameters), durable, over)


def write_hashed(
    path: Path,
    parameters: Parameters,
    algorithm: Algorithm,
    *,
    durable: bool = False,
    over: Path | None = None,
    check: Callable[[str], object] | None = None,
) -> tuple[str, int]:
    """As `write_file`, hashed on the way.

    Args:
        path: See `write_file`.
        parameters: See `write_file`.
        algorithm: What makes the digest.
        durable: See `write_file`.
        over: See `write_file`.
        check: Called with the digest before the file is put in place, which an error of it prevents.

    Returns:
        The digest of the file, and its size in bytes.
    """
    hasher = Hasher(algorithm)

    def hashed() -> Iterator[bytes | memoryview]:
        for chunk in _chunks(parameters):
            hasher.update(chunk)
            yield chunk
        if check is not None:
            check(hasher.digest())

    size = _write(path, hashed(), durable, over)
    return hasher.digest(), size


def digest_of(parameters: Parameters, algorithm: Algorithm) -> str:
    """The digest of the file that `write_file` would make.

    Raises:
        UpdateError: A name or a dtype cannot be written; names the tensor.
    """
    hasher = Hasher(algorithm)
    for chunk in _chunks(parameters):
        hasher.update(chunk)
    return hasher.digest()


def copy_hashed(parameters: Parameters, algorithm: Algorithm) -> tuple[dict[str, Array], str]:
    """An immutable copy in memory, and the digest of the file that `write_file` would make.

    Needs memory for the copy alone; tensors that are computed where they are read are computed once.

    Returns:
        The tensors, read-only, in the order of their names, and the digest.

    Raises:
        UpdateError: A name or a dtype cannot be written; names the tensor.
    """
    entries = layout(specs(parameters))
    data = np.empty(max((entry.end for entry in entries), default=0), np.uint8)
    hasher = Hasher(algorithm)
    chunks = _chunks(parameters)
    hasher.update(next(chunks))  # the header
    begin = 0
    for chunk in chunks:
        hasher.update(chunk)
        end = begin + len(chunk)
        data[begin:end] = np.frombuffer(chunk, np.uint8)
        begin = end
    by_name = sorted(entries, key=lambda entry: entry.name)
    return _views(data, by_name, "the tensors"), hasher.digest()


def open_file(path: Path) -> dict[str, Array]:
    """Map a file of tensors into memory; nothing is read until it is used.

    The file must not be shortened while the tensors are in use.

    Returns:
        Read-only views of the file, in the order of their names.

    Raises:
        UpdateError: It is not whole, or not a safetensors file; names file and tensor.
        StorageError: The file cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        start, entries = read_header(file, os.fstat(file.fileno()).st_size, str(path))
        raw = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    return _views(raw[start:], entries, str(path))


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """Shape and dtype of every tensor in a file, from its header alone.

    Raises:
        UpdateError: It is not whole, or not a safetensors file; names file and tensor.
        StorageError: The file cannot be read.
    """
    with file_errors(f"read {path}"), path.open("rb") as file:
        _, entries = read_header(file, os.fstat(file.fileno()).st_size, str(path))
    return {entry.name: TensorSpec(entry.shape, dtype_name(entry.dtype)) for entry in entries}


def tensors_size(specs: Mapping[str, TensorSpec]) -> int:
    """Size in bytes of the file that `write_file` makes of tensors of these shapes and dtypes."""
    entries = layout(specs)
    return len(header_of(entries)) + sum(entry.end - entry.begin for entry in entries)


def _write(path: Path, chunks: Iterable[bytes | memoryview], durable: bool, over: Path | None) -> int:
    with file_errors(f"write {path}"), writing(path, durable=durable, over=over) as file:
        for chunk in chunks:
            file.write(chunk)
        return file.tell()


def _chunks(parameters: Parameters) -> Iterator[bytes | memoryview]:
    """The file piece by piece, so that what has been hashed is still in the cache when it is written."""
    entries = layout(specs(parameters))
    yield header_of(entries)
    for entry in entries:
        array = parameters[entry.name]
        if not isinstance(array, LazyTensor):
            # `ascontiguousarray` copies only what is strided or of the other byte order.
            array = np.ascontiguousarray(array, dtype=entry.dtype)
        for part in _parts(array):
            yield np.ascontiguousarray(part, dtype=entry.dtype).view(np.uint8).data


def _parts(array: Array | LazyTensor) -> Iterator[Array]:
    """A flat tensor piece by piece; what is computed for it is computed ahead, on threads."""
    read, block = flat_reader(array)
    step = max(_BLOCK_BYTES // (block * array.dtype.itemsize), 1) * block
    ranges = [(begin, min(begin + step, array.size)) for begin in range(0, array.size, step)]
    if not isinstance(array, LazyTensor) or len(ranges) <= _AHEAD:
        yield from itertools.starmap(read, ranges)
        return
    with ThreadPoolExecutor(_AHEAD, thread_name_prefix="compute") as pool:
        ahead: deque[Future[Array]] = deque()
        for begin, end in ranges:
            ahead.append(pool.submit(read, begin, end))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _views(data: Array, entries: Iterable[Entry], where: str) -> dict[str, Array]:
    data.flags.writeable = False
    views: dict[str, Array] = {}
    for entry in entries:
        raw = data[entry.begin : entry.end]
        if entry.dtype == np.bool_ and raw.max(initial=0) > 1:
            raise UpdateError(
                f"{where}: tensor {entry.name!r} is boolean and holds other values than 0 and 1"
            )
        views[entry.name] = raw.view(entry.dtype).reshape(entry.shape)
    return views
