"""Headers of safetensors files: laid out for our tensors, and read from anybody.

What is read may be a stranger's: it is checked in full, tensor by tensor, before any of it is used.
"""

from __future__ import annotations

import functools
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from hanse.core.values.parameters import MAX_TENSORS, TensorSpec
from hanse.errors import UpdateError

MAX_HEADER_BYTES = 32 * 2**20
"""Longest header; bounds what parsing a stranger's file can cost."""

MAX_NAME_CHARS = 512
"""Longest name of a tensor."""

MAX_METADATA_BYTES = 2**20
"""Longest metadata in a header; it is read over."""

MAX_DIMENSIONS = 32
"""Most dimensions of a tensor: what every supported version of NumPy can hold."""

_LONGEST_REMEMBERED = 1 << 18
"""Longest header, in bytes, that is remembered with what it says."""
_METADATA = "__metadata__"
_SPACE = rb"[ \t\r\n]*+"
# A header piece by piece: none is longer than a tensor can need, and no byte is looked at twice.
_OPEN = re.compile(_SPACE + rb"\{(?:" + _SPACE + rb"\})?")
_NAME = re.compile(_SPACE + rb'("(?:[^"\\]|\\.){0,6200}+")' + _SPACE + rb":" + _SPACE, re.DOTALL)
_FIELDS = re.compile(rb'\{[^{}]{0,4096}+\}|"[^"\\]{0,64}+"|[^{}\[\], \t\r\n"]{1,64}+(?=[, \t\r\n}])')
_TEXTS = re.compile(rb'\{(?:[^{}"]|"(?:[^"\\]|\\.)*+")*+\}', re.DOTALL)
_NEXT = re.compile(_SPACE + rb"[,}]")
_END = re.compile(_SPACE + rb"\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell it, UTF-8 cannot

# Laid out from the last of these to the first, so that every tensor stands aligned.
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_CODES = {name: code for code, name in _DTYPES.items()}
_RANKS = {name: rank for rank, name in enumerate(_CODES)}


class Entry(NamedTuple):
    """One tensor of a header; `begin` and `end` count from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def layout(specs: Mapping[str, TensorSpec]) -> list[Entry]:
    """Where each tensor of these shapes and dtypes lies in a file, in the order in which they do.

    Raises:
        UpdateError: A name or a dtype cannot be written; names the tensor.
    """
    if len(specs) > MAX_TENSORS:
        raise UpdateError(f"{len(specs)} tensors are too many: at most {MAX_TENSORS} can be sent")
    for name, spec in specs.items():
        problem = _name_problem(name)
        if spec.dtype not in _CODES:
            problem = f"has dtype {spec.dtype}; known are {', '.join(_CODES)}"
        elif len(spec.shape) > MAX_DIMENSIONS:
            problem = f"has {len(spec.shape)} dimensions, more than {MAX_DIMENSIONS}"
        if problem:
            raise UpdateError(f"tensor {name[:80]!r} cannot be sent: it {problem}")
    entries: list[Entry] = []
    end = 0
    for name in sorted(specs, key=lambda name: (-_RANKS[specs[name].dtype], name)):
        spec, begin = specs[name], end
        dtype = _dtype(spec.dtype)
        end = begin + math.prod(spec.shape) * dtype.itemsize
        entries.append(Entry(name, dtype, spec.shape, begin, end))
    return entries


def header_of(entries: Iterable[Entry]) -> bytes:
    """The beginning of a file, up to its data.

    Raises:
        UpdateError: The names are too long.
    """
    fields = {
        entry.name: {
            "dtype": _CODES[entry.dtype.name],
            "shape": entry.shape,
            "data_offsets": [entry.begin, entry.end],
        }
        for entry in entries
    }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise UpdateError(f"the tensors' names are too long: more than {MAX_HEADER_BYTES} bytes together")
    return len(text).to_bytes(8, "little") + text


def read_header(file: BinaryIO, size: int, where: str) -> tuple[int, tuple[Entry, ...]]:
    """Read a stranger's header, and check it.

    Args:
        file: Stands at its beginning.
        size: Its size in bytes.
        where: What it is, for the error.

    Returns:
        Where the data begins, and the tensors in the order of their names.

    Raises:
        UpdateError: It is not whole, or no header of a safetensors file; names the tensor.
    """
    if size < 8:
        raise UpdateError(f"{where}: {size} bytes are too few for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    start = 8 + length
    if length > MAX_HEADER_BYTES or start > size:
        raise UpdateError(f"{where}: truncated or no safetensors file: a header of {length} bytes")
    parse = _parse_once if length <= _LONGEST_REMEMBERED else _parse
    try:
        return start, parse(file.read(length), size - start)
    except UpdateError as error:
        raise UpdateError(f"{where}: {error.message}") from error


def _parse(header: bytes, size: int) -> tuple[Entry, ...]:
    """What a header says of `size` bytes of data, checked; in the order of the names."""
    entries: dict[str, Entry] = {}
    try:
        for name, fields in _listed(header):
            if name == _METADATA:
                if not _is_metadata(fields):
                    raise UpdateError("the header does not list tensors: its metadata is not text")
            elif name in entries:
                raise UpdateError(f"a name occurs twice: {name[:80]!r}")
            elif len(entries) == MAX_TENSORS:
                raise UpdateError(f"more than {MAX_TENSORS} tensors, which are too many")
            else:
                entries[name] = _entry(name, fields)
    except (ValueError, RecursionError) as error:
        raise UpdateError(f"the header does not list tensors: {error}") from error
    _check_coverage(entries.values(), size)
    return tuple(entries[name] for name in sorted(entries))


# All updates of a round have the header of their model, and each is read more than once.
_parse_once = functools.lru_cache(maxsize=8)(_parse)


def _listed(header: bytes) -> Iterator[tuple[str, object]]:
    """What a header says, tensor by tensor: parsed as a whole it could take thirty times its size.

    Raises:
        ValueError: It is no JSON object of such things; says at which byte.
    """
    piece = _piece(_OPEN, header, 0)
    while not piece[0].endswith(b"}"):
        name = _piece(_NAME, header, piece.end())
        told = _piece(_TEXTS if name[1] == b'"__metadata__"' else _FIELDS, header, name.end())
        yield json.loads(name[1].decode()), json.loads(told[0].decode(), object_pairs_hook=_unique)
        piece = _piece(_NEXT, header, told.end())
    _piece(_END, header, piece.end())


def _piece(pattern: re.Pattern[bytes], header: bytes, at: int) -> re.Match[bytes]:
    match = pattern.match(header, at)
    if match is None:
        raise ValueError(f"no valid JSON at byte {at}")
    if match.end() - at > MAX_METADATA_BYTES:
        raise ValueError(f"more than {MAX_METADATA_BYTES} bytes of metadata")
    return match


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _is_metadata(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _entry(name: str, fields: object) -> Entry:
    """Check what a header says of one tensor by itself."""
    problem = _name_problem(name)
    match fields:
        case {"dtype": str(code), "shape": [*shape], "data_offsets": [begin, end], **rest} if not rest:
            if code not in _DTYPES:
                problem = f"has dtype {code[:20]!r}; known are {', '.join(_DTYPES)}"
            elif len(shape) > MAX_DIMENSIONS or not all(map(_is_size, [*shape, begin, end])):
                problem = "has a shape or an offset that cannot be"
            else:
                dtype = _dtype(_DTYPES[code])
                # NumPy counts what an empty tensor would have without its zeros, and must not overflow.
                if math.prod(n for n in shape if n) * dtype.itemsize > sys.maxsize:
                    problem = "is too large"
                elif end - begin != math.prod(shape) * dtype.itemsize:
                    problem = f"has {end - begin} bytes, which is not what its shape {shape} takes"
        case _:
            problem = "is not described by dtype, shape and data_offsets"
    if problem:
        raise UpdateError(f"tensor {name[:80]!r} {problem}")
    return Entry(name, dtype, tuple(shape), begin, end)


def _is_size(value: object) -> bool:
    # Not `isinstance`: True is an int too. The bound keeps a product of sizes cheap.
    return type(value) is int and 0 <= value <= sys.maxsize


def _name_problem(name: str) -> str:
    if not 0 < len(name) <= MAX_NAME_CHARS:
        return f"has a name of {len(name)} characters; 1 to {MAX_NAME_CHARS} are allowed"
    if name == _METADATA or _SURROGATE.search(name):
        return "has a name that a safetensors file cannot hold"
    return ""


def _check_coverage(entries: Iterable[Entry], size: int) -> None:
    """Check that the tensors fill the data one after another, to the last byte."""
    position = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            raise UpdateError(
                f"tensor {entry.name!r} begins at byte {entry.begin} of the data, not at {position}"
            )
        position = entry.end
    if position != size:
        raise UpdateError(f"truncated or too long: {size} bytes of data where {position} are due")


@functools.cache
def _dtype(name: str) -> np.dtype[Any]:
    """The little-endian dtype of this NumPy name."""
    if name.startswith(("bfloat", "float8")):
        import ml_dtypes  # only where a model needs it

        special: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return special
    return np.dtype(name).newbyteorder("<")
