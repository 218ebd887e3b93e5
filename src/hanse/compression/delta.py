"""A model as what is new in it, bit by bit, against the model before; nothing is lost.

Numbers that training changed a little share their sign, exponent and first bits
with what they were: combined by exclusive or, those are zeros, and compress.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from hanse.compression.chain import Chain
from hanse.compression.tensor import TensorCodec
from hanse.core.values.parameters import Array, Parameters, TensorSpec, mismatch, specs
from hanse.errors import UpdateError

_SMALLEST = 256
"""Tensors with fewer numbers are sent as they are."""


def model_delta(model: Parameters, base: Parameters, level: int) -> Iterator[tuple[str, Array]]:
    """What is new in a model, tensor by tensor.

    Args:
        model: The model.
        base: The one before; names, shapes and dtypes of `model`.
        level: Effort of the compression, from 1 to 19.
    """
    for name, array in model.items():
        codec = _codec(TensorSpec(tuple(array.shape), array.dtype.name), level)
        if codec is None:
            yield name, array
            continue
        now, before = _bits(array, codec), _bits(base[name], codec)
        segments = []
        for index in range(codec.num_segments):
            begin, end = codec.bounds(index)
            segments.append(codec.encode(now[begin:end] ^ before[begin:end], index, 0))
        yield name, codec.join(segments)


def apply_delta(delta: Parameters, base: Parameters) -> Mapping[str, Array]:
    """The model that `model_delta` was made of; from anybody, so have its digest looked at.

    Args:
        delta: What came.
        base: The model before.

    Returns:
        Tensors by name, made where they are read.

    Raises:
        UpdateError: No `model_delta` writes this, here or where a tensor is read.
    """
    expected = specs(base)
    found = specs(delta)
    plain = {name for name, spec in expected.items() if _codec(spec) is None}
    problem = mismatch(
        {name: spec if name in plain else TensorSpec((), "") for name, spec in found.items()},
        {name: spec if name in plain else TensorSpec((), "") for name, spec in expected.items()},
    )
    model: dict[str, Array] = {}
    for name, spec in expected.items():
        codec = _codec(spec)
        if problem or codec is None:
            model[name] = delta.get(name, base[name])
        elif codec.problem(found[name]):
            problem = f"tensor {name!r} {codec.problem(found[name])}"
        else:
            model[name] = cast("Any", _Patched(codec, delta[name], base[name]))
    if problem:
        raise UpdateError(f"what is new in the model does not fit the model before: {problem}")
    return model


class _Patched:
    """A tensor that is made where it is read; stands for the array it makes."""

    def __init__(self, codec: TensorCodec, delta: Array, base: Array) -> None:
        self._codec, self._delta, self._base = codec, delta, base
        self.shape, self.dtype = base.shape, base.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        codec, before = self._codec, _bits(self._base, self._codec)
        whole = np.empty_like(before)
        for index, segment in enumerate(codec.split(self._delta)):
            begin, end = codec.bounds(index)
            whole[begin:end] = codec.decode(segment, index, 0)
            whole[begin:end] ^= before[begin:end]
        array = whole.view(self.dtype).reshape(self.shape)
        return array if dtype is None else array.astype(dtype, copy=False)


def _codec(spec: TensorSpec, level: int = 1) -> TensorCodec | None:
    """What encodes the bits of a tensor; None for one that is sent as it is. Reads any level."""
    if math.prod(spec.shape) < _SMALLEST:
        return None
    width = _width(spec.dtype)
    return TensorCodec(TensorSpec(spec.shape, f"uint{8 * width}"), Chain((), level))


def _width(dtype: str) -> int:
    if dtype.startswith(("bfloat", "float8")):
        return 2 if dtype.startswith("bfloat") else 1
    return np.dtype(dtype).itemsize


def _bits(array: Array, codec: TensorCodec) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(codec.dtype)
