"""The model's arrays by name, and the arithmetic that updates need.

Floating-point tensors travel as differences. An infinity that training left
as it was, as in the mask of an attention layer, differs by 0. Integer tensors
travel as differences too, computed in their own width with wrap-around, so
that adding the difference gives back the trained value exactly. Booleans have
no difference and travel as values.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

import numpy as np
import numpy.typing as npt

from hanse.core.values.lazy import LazyTensor, flat_reader, materialize
from hanse.core.values.wording import named

Array = npt.NDArray[Any]
Parameters = Mapping[str, Array]

UNTRAINED = ("*running_mean", "*running_var", "*batch_stats*", "*moving_mean", "*moving_variance")
"""Running statistics of batch normalisation, by the names that torch, Flax and Keras give them."""

MAX_TENSORS = 100_000
"""Most tensors one set of parameters may have; bounds what a header can cost."""

AGREED = "hanse.agreed"
"""Name of the tensor in which a model carries what sites have to agree on; no pattern stands for it."""

GROUP_MARK = "@"
"""First character of the name of a group's tensor; see `hanse.core.values.groups`."""

_CHECKED_AT_ONCE = 1 << 16
_ZEROS = 1 << 17


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of one tensor; dtype by its NumPy name (`float32`, `bfloat16`)."""

    shape: tuple[int, ...]
    dtype: str


def specs(parameters: Parameters) -> dict[str, TensorSpec]:
    """Shape and dtype of every tensor, by name."""
    return {
        name: TensorSpec(tuple(array.shape), dtype_name(array.dtype)) for name, array in parameters.items()
    }


@functools.lru_cache(maxsize=64)
def dtype_name(dtype: np.dtype[Any]) -> str:
    """A dtype's NumPy name, which NumPy itself puts together anew each time it is asked."""
    return str(dtype.name)


def in_words(name: str) -> str:
    """A tensor as messages name it: one of a group by its array and its group."""
    if not name.startswith(GROUP_MARK):
        return f"tensor {name!r}"
    group, slash, array = name.removeprefix(GROUP_MARK).partition("/")
    return f"array {array!r} of group {group!r}" if slash else f"group {group!r}"


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether values of this dtype are real numbers, bfloat16 and float8 included."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def lazy_difference(trained: Parameters, received: Parameters) -> dict[str, Array]:
    """What training changed: trained minus received, computed where it is read; see `LazyTensor`.

    Args:
        trained: Parameters after training; names, shapes and dtypes of `received`.
        received: Parameters before training.

    Returns:
        The delta, with the dtype of each tensor kept. Boolean tensors are the
        trained values themselves. Not finite are those numbers of a finite delta
        alone that training made or took from infinity, or that became a NaN.

    Raises:
        ValueError: Names, shapes or dtypes differ.
    """
    problem = mismatch(specs(trained), specs(received))
    if problem:
        raise ValueError(problem)
    return {
        name: array if array.dtype == np.bool_ else _combined(array, received[name], _subtracted).as_array
        for name, array in trained.items()
    }


def add(base: Parameters, delta: Parameters, scale: float = 1.0) -> dict[str, Array]:
    """Apply a delta made by `lazy_difference` (or a mean of such deltas) to `base`.

    Tensors that `delta` does not name are kept as they are. Integer deltas are
    rounded to the nearest whole number, boolean ones are true from 0.5 on.

    Args:
        base: Tensors by name.
        delta: What to add; names and shapes of `base`.
        scale: Factor of floating-point tensors; others are added as they are.

    Raises:
        ValueError: `delta` names a tensor that `base` lacks, or with another shape.
    """
    if scale != 1:
        # In float64, and rounded once: where the two are added.
        delta = {
            name: change.astype(np.float64) * scale if is_floating(change.dtype) else change
            for name, change in materialize(delta).items()
        }
    return materialize(lazy_add(base, delta))


def lazy_add(base: Parameters, delta: Parameters) -> dict[str, Array]:
    """As `add`, but computed where it is read; see `LazyTensor`.

    Raises:
        ValueError: As `add`.
    """
    result: dict[str, Array] = dict(base)
    for name, change in delta.items():
        if name not in base:
            raise ValueError(f"the update has a tensor {name!r} that the model lacks")
        old = base[name]
        if change.shape != old.shape:
            raise ValueError(
                f"tensor {name!r} has shape {change.shape} in the update, {old.shape} in the model"
            )
        result[name] = _combined(old, change, _added).as_array
    return result


def _combined(first: Array, second: Array, combine: Callable[[Array, Array], Array]) -> LazyTensor:
    """What is made of two tensors number by number, with the dtype of the first."""
    (left, left_block), (right, right_block) = flat_reader(first), flat_reader(second)
    return LazyTensor(
        first.shape,
        first.dtype.newbyteorder("="),
        lambda begin, end: combine(left(begin, end), right(begin, end)),
        math.lcm(left_block, right_block),
    )


def _subtracted(trained: Array, received: Array) -> Array:
    # What is not finite in an update is refused by the tensor's name wherever the update is checked.
    try:
        # The processor notes an infinity less an infinity while it subtracts; to look for one takes longer.
        with np.errstate(invalid="raise", over="ignore"):
            return np.asarray(np.subtract(trained, received))
    except FloatingPointError:
        with np.errstate(invalid="ignore", over="ignore"):
            change = np.asarray(np.subtract(trained, received))
        change[np.isinf(received) & (trained == received)] = 0
        return change


def _added(old: Array, change: Array) -> Array:
    dtype = old.dtype.newbyteorder("=")
    if dtype == np.bool_:
        return np.asarray(np.asarray(change, dtype=np.float64) >= 0.5)
    if is_floating(dtype):
        # One rounding only: the sum is taken in the wider of the two types.
        return np.asarray(np.add(old, change)).astype(dtype, copy=False)
    # By way of int64: what a negative number becomes as an unsigned one is left to the machine.
    whole = change if change.dtype.kind in "iu" else np.rint(change).astype(np.int64)
    return np.asarray(np.add(old, whole.astype(dtype, copy=False)))


def mismatch(found: Mapping[str, TensorSpec], expected: Mapping[str, TensorSpec]) -> str:
    """Say in words where two sets of tensors differ; empty where they do not."""
    for name in sorted(found.keys() - expected.keys()):
        return f"{in_words(name)} was not expected; expected are {_some(expected)}"
    for name in sorted(expected.keys() - found.keys()):
        return f"{in_words(name)} is missing; found are {_some(found)}"
    for name, spec in expected.items():
        if found[name].shape != spec.shape:
            return f"{in_words(name)} has shape {found[name].shape}, expected {spec.shape}"
        if found[name].dtype != spec.dtype:
            return f"{in_words(name)} has dtype {found[name].dtype}, expected {spec.dtype}"
    return ""


def not_finite(parameters: Parameters) -> str:
    """Name of the first tensor that holds a NaN or an infinity; empty where none does."""
    for name, array in parameters.items():
        if is_floating(array.dtype) and not _all_finite(array):
            return name
    return ""


def personal_names(names: Iterable[str], patterns: Collection[str]) -> frozenset[str]:
    """The names of tensors that stay at a site, or that no gradient trains.

    Args:
        names: Names of tensors.
        patterns: `personal` of the plan, or `untrained` of its `aggregation`.
    """
    if not patterns:
        return frozenset()
    matches = re.compile("|".join(map(translate, patterns))).match
    return frozenset(name for name in names if name != AGREED and matches(name))


def tied_names(parts: Sequence[Parameters]) -> dict[str, str]:
    """Floating-point tensors that are another one by a second name, as tied weights are.

    Args:
        parts: Parameters with the same names, shapes and dtypes: a model before and after its training, or
            the updates of several sites. By chance two tensors may be alike in one of them, hardly in all.

    Returns:
        By such a tensor's name, that of the first one with the same bits in each of the parts.
    """
    kinds = {n: (a.shape, a.dtype.name) for n, a in parts[0].items() if is_floating(a.dtype)}
    count = Counter(kinds.values())
    ties: dict[str, str] = {}
    alike: dict[tuple[object, ...], list[str]] = {}
    for name, kind in kinds.items():
        if count[kind] == 1:
            continue
        known = alike.setdefault((kind, _beginning(parts[0][name])), [])
        for first in known:
            if all(same_bits(part[name], part[first]) for part in parts):
                ties[name] = first
                break
        else:
            known.append(name)
    return ties


def same_bits(left: Array, right: Array) -> bool:
    """Check if two arrays of one shape and dtype have the same bits, without holding either as a whole."""
    if _beginning(left) != _beginning(right):
        return False
    (read, one), (read_other, other) = flat_reader(left), flat_reader(right)
    whole = math.lcm(one, other)
    return all(
        np.array_equal(_bits(read(begin, end)), _bits(read_other(begin, end)))
        for begin, end in _ranges(math.prod(left.shape), -(-_CHECKED_AT_ONCE // whole) * whole)
    )


def _beginning(array: Array) -> bytes:
    """The first numbers, by which most tensors that differ are known to."""
    return _bits(flat_reader(array)[0](0, min(16, math.prod(array.shape)))).tobytes()


def _bits(values: Array) -> Array:
    return np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")


def not_a_number(parameters: Parameters) -> str:
    """Name of the first tensor that holds a NaN; empty where none does. An infinity is a number."""
    for name, array in parameters.items():
        if not is_floating(array.dtype) or _all_finite(array):
            continue
        if any(np.isnan(values).any() for values in _blocks(array)):
            return name
    return ""


def not_as_before(parameters: Parameters, before: Parameters) -> str:
    """Name of the first tensor with a NaN, or an infinity where `before` has another number; else empty.

    Args:
        parameters: The tensors.
        before: Tensors of the same names, shapes and dtypes.
    """
    for name, array in parameters.items():
        if not is_floating(array.dtype) or _all_finite(array):
            continue
        (read, block), (read_before, block_before) = flat_reader(array), flat_reader(before[name])
        for begin, end in _ranges(array.size, math.lcm(block, block_before)):
            values = read(begin, end)
            if not (np.isfinite(values) | (values == read_before(begin, end))).all():
                return name
    return ""


def num_bytes(parameters: Parameters) -> int:
    """Size of all tensors together, in bytes."""
    return sum(int(array.nbytes) for array in parameters.values())


def _all_finite(array: Array) -> bool:
    return all(map(_finite, _blocks(array)))


def _blocks(array: Array) -> Iterator[Array]:
    """The numbers of a tensor, some after others: neither booleans nor zeros for all are ever needed."""
    read, block = flat_reader(array)
    return (read(begin, end) for begin, end in _ranges(array.size, block))


def _ranges(size: int, block: int) -> Iterator[tuple[int, int]]:
    step = -(-_CHECKED_AT_ONCE // block) * block
    return ((begin, min(begin + step, size)) for begin in range(0, size, step))


def _finite(values: Array) -> bool:
    """Check that all numbers of a vector are finite."""
    dtype = values.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float64):
        return bool(np.isfinite(values).all())
    # Zero times a number is zero; times a NaN or an infinity it is a NaN, and so is the sum of all (IEEE 754,
    # section 7.2). That takes less time than `isfinite`, and every byte of every update goes through this.
    pieces = (values[begin : begin + _ZEROS] for begin in range(0, len(values), _ZEROS))
    with np.errstate(invalid="ignore"):
        return all(bool(np.dot(piece, _zeros(dtype)[: len(piece)]) == 0) for piece in pieces)


@functools.lru_cache(maxsize=4)
def _zeros(dtype: np.dtype[Any]) -> Array:
    zeros = np.zeros(_ZEROS, dtype)
    zeros.flags.writeable = False
    return zeros


def _some(found: Mapping[str, TensorSpec]) -> str:
    bare = [in_words(name) if name.startswith(GROUP_MARK) else repr(name) for name in sorted(found)]
    return named(bare, 5) or "none"
