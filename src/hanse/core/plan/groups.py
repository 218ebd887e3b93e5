"""Groups as a plan declares them: the arrays that travel beside the model, with shapes and dtypes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue

MODEL = "model"
"""The group that is the model; its name is taken."""

MOST_GROUPS = 20
MOST_ARRAYS = 1_000
"""Arrays of one group."""
MOST_DIMENSIONS = 8
"""Dimensions of one array."""
LARGEST_DIMENSION = 2**40
LARGEST_GROUP = 1 << 35
"""Most bytes of a group that is disclosed, as far as the plan says how large it is."""

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")

Dtype = Literal["float32", "float64", "int32", "int64", "uint8", "bool"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ARRAY = re.compile(r"[A-Za-z_][\w.\-]{0,62}")
_POOLED = ("binary",)
_DEFAULT_BINS = 1024
_MOST_BINS = 1 << 20


def _group_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value[:80]!r} is not a name of a group: write 1 to 63 of the characters a-z, 0-9 and _, a "
            "letter first"
        )
    return value


GroupName = Annotated[str, Field(json_schema_extra={"format": "name"}), AfterValidator(_group_name)]

Dimension = int | str


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a group.

    Attributes:
        dtype: One of `DTYPES`.
        shape: Whole numbers, and names of dimensions.
    """

    dtype: str
    shape: tuple[Dimension, ...]

    @property
    def floating(self) -> bool:
        """True if it holds real numbers."""
        return self.dtype.startswith("float")


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Declaration of one group in a plan.

    Attributes:
        arrays: Arrays by name; of a single one, by the empty name. Empty where `like` says what it is.
        like: The group whose floating-point tensors this one has; empty for none.
        patterns: Of those tensors, the names that this group has.
        dtype: What its tensors have instead of the dtypes of those; empty to keep them.
        bounds: Least and largest value of any of its numbers; None where nothing is said.
        pooled: What its counts are of: `binary`, the scores of two classes in bins; empty for anything.
    """

    arrays: Mapping[str, ArraySpec] = field(default_factory=dict)
    like: str = ""
    patterns: tuple[str, ...] = ("*",)
    dtype: str = ""
    bounds: tuple[float, float] | None = None
    pooled: str = ""

    @property
    def single(self) -> bool:
        """True if it is one array and not a table."""
        return "" in self.arrays

    @property
    def dtypes(self) -> set[str]:
        """The dtypes of its arrays, as far as the plan says them."""
        return {array.dtype for array in self.arrays.values()} | ({self.dtype} - {""})

    def named_dimensions(self) -> set[str]:
        """The names in its shapes."""
        return {size for array in self.arrays.values() for size in array.shape if isinstance(size, str)}


def read_group(declared: Mapping[str, Any]) -> GroupSpec:
    """Read what a plan says of one group.

    Raises:
        ValueError: It is not a declaration of a group; says how it is written.
    """
    if "like" in declared:
        return _like(declared)
    if "pooled" in declared:
        return _pooled(declared)
    rest = {key: value for key, value in declared.items() if key != "range"}
    bounds = _bounds(declared["range"]) if "range" in declared else None
    dtypes = [key for key in rest if key in DTYPES and not isinstance(rest[key], Mapping)]
    if dtypes:
        if len(rest) > 1:
            raise ValueError("a group of one array has one dtype and its shape, such as `{float64: [p, p]}`")
        return GroupSpec({"": ArraySpec(dtypes[0], _shape(rest[dtypes[0]]))}, bounds=bounds)
    if not rest:
        raise ValueError(
            "a group is one array (`{float64: [p, p]}`), a table of arrays (`{sum: {float64: [p]}}`) or "
            "`{like: model}`"
        )
    if len(rest) > MOST_ARRAYS:
        raise ValueError(f"a group has at most {MOST_ARRAYS} arrays")
    return GroupSpec({name: _array(name, value) for name, value in rest.items()}, bounds=bounds)


def _checked(declared: dict[str, JsonValue]) -> dict[str, JsonValue]:
    read_group(declared)
    return declared


GroupDeclaration = Annotated[dict[str, JsonValue], AfterValidator(_checked)]
"""A group as a plan writes it; `read_group` reads it."""


def _like(declared: Mapping[str, Any]) -> GroupSpec:
    unknown = declared.keys() - {"like", "tensors", "dtype", "range"}
    if unknown:
        raise ValueError(
            f"`{min(unknown)}` does not go with `like`; beside it may stand `tensors`, `dtype`, `range`"
        )
    like, dtype, patterns = declared["like"], declared.get("dtype", ""), declared.get("tensors", ["*"])
    if not isinstance(like, str) or not _NAME.fullmatch(like):
        raise ValueError("`like` names a group, or `model`")
    if dtype not in ("", "float32", "float64"):
        raise ValueError("the `dtype` of a group that is `like` another is float32 or float64")
    listed = isinstance(patterns, list | tuple) and 0 < len(patterns) <= MOST_ARRAYS
    if not listed or not all(isinstance(p, str) and 0 < len(p) <= 200 for p in patterns):
        raise ValueError("`tensors` is a list of patterns, such as `[encoder.*]`")
    bounds = _bounds(declared["range"]) if "range" in declared else None
    return GroupSpec({}, like, tuple(patterns), dtype, bounds)


def _pooled(declared: Mapping[str, Any]) -> GroupSpec:
    unknown = declared.keys() - {"pooled", "bins"}
    kind, bins = declared["pooled"], declared.get("bins", _DEFAULT_BINS)
    if unknown or kind not in _POOLED:
        raise ValueError("binned scores are declared as `{pooled: binary, bins: 1024}`")
    if isinstance(bins, bool) or not isinstance(bins, int) or not 2 <= bins <= _MOST_BINS:
        raise ValueError(f"`bins` is a whole number from 2 to {_MOST_BINS}")
    return GroupSpec({"": ArraySpec("int64", (2, bins))}, pooled=kind)


def _array(name: str, declared: Any) -> ArraySpec:
    if not _ARRAY.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a name of an array: write letters, digits, _ . and -")
    if not isinstance(declared, Mapping) or len(declared) != 1 or next(iter(declared)) not in DTYPES:
        raise ValueError(
            f"array {name!r} has one dtype and its shape, such as `{{float64: [p, p]}}`; dtypes are "
            f"{', '.join(DTYPES)}"
        )
    ((dtype, shape),) = declared.items()
    return ArraySpec(dtype, _shape(shape))


def _shape(declared: Any) -> tuple[Dimension, ...]:
    if not isinstance(declared, list | tuple) or len(declared) > MOST_DIMENSIONS:
        raise ValueError(f"a shape is a list of at most {MOST_DIMENSIONS} dimensions, such as `[p, 64]`")
    for size in declared:
        whole = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= LARGEST_DIMENSION
        if not whole and not (isinstance(size, str) and _ARRAY.fullmatch(size)):
            raise ValueError(
                f"a dimension is a whole number from 1 on or a name under `options` or `dimensions`, not "
                f"{size!r:.80}"
            )
    return tuple(declared)


def _bounds(declared: Any) -> tuple[float, float]:
    numbers = isinstance(declared, list | tuple) and len(declared) == 2
    if not numbers or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in declared):
        raise ValueError("`range` is two numbers, such as `[-1.0, 1.0]`")
    try:
        low, high = float(declared[0]), float(declared[1])
    except OverflowError:
        raise ValueError("the numbers of `range` have to fit into a float64") from None
    if not low < high:
        raise ValueError("the first number of `range` is smaller than the second")
    # Whole numbers stay as they are: float64 does not have all of those beyond 2^53.
    return declared[0], declared[1]
