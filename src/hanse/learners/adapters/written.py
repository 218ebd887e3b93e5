"""Values that stand in the code of a plan, which all sites have, apart from those made of a site's data."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

_LARGEST_FILE = 1 << 20
_MOST_FILES = 200
_MOST_NUMBERS = 10_000


def are_written(values: Any) -> bool:
    """Check whether values stand in the code that gives them, as a list, a tuple or a range.

    `sorted(set(y.tolist()))` gives plain values too, and they are those of a site's data. So the code that
    calls is looked through, and the other files of its folder that are loaded.

    Args:
        values: A list or a tuple of plain values; anything else counts as made of data.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    if any(type(value) not in (bool, int, float, str) for value in values):
        return False
    wanted = _typed(values)
    return any(wanted in _written_in(path) for path in _files(_caller()))


def _typed(values: Sequence[Any]) -> tuple[tuple[str, Any], ...]:
    """Values with their types: 1, 1.0 and True are equal otherwise."""
    return tuple((type(value).__name__, value) for value in values)


def _caller() -> FrameType | None:
    """The innermost frame outside of this package: it is of the plan's code."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "hanse":
        frame = frame.f_back
    return frame


def _files(frame: FrameType | None) -> Iterator[Path]:
    if frame is None:
        return
    path = Path(frame.f_code.co_filename)
    yield path
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    beside = [Path(file) for file in loaded if file and Path(file).is_relative_to(path.parent)]
    yield from beside[:_MOST_FILES]


@lru_cache(maxsize=256)
def _written_in(path: Path) -> frozenset[tuple[tuple[str, Any], ...]]:
    """All lists, tuples and ranges of plain values that stand in a file."""
    try:
        with path.open("rb") as file:
            tree = ast.parse(file.read(_LARGEST_FILE))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(found for node in ast.walk(tree) if (found := _value(node)) is not None)


def _value(node: ast.AST) -> tuple[tuple[str, Any], ...] | None:
    if isinstance(node, ast.List | ast.Tuple):
        found = [_constant(item) for item in node.elts]
        return None if any(each is None for each in found) else _typed(found)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        limits = [limit for item in node.args if type(limit := _constant(item)) is int]
        if len(limits) == len(node.args) and 0 < len(limits) < 4 and 0 not in limits[2:]:
            numbers = range(*limits)
            return _typed(numbers) if len(numbers) <= _MOST_NUMBERS else None
    return None


def _constant(node: ast.AST) -> bool | int | float | str | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        return -value if isinstance(value, int | float) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    return None
