"""Values of a session of Python as they may stand in a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from hanse.errors import PlanError


def as_json(key: str, value: Any) -> Any:
    """A value as a plan file would have it: paths as text, arrays and tuples as lists.

    Args:
        key: Where it stands, for messages.
        value: What was given.

    Raises:
        PlanError: It holds what no plan can hold, such as a function or an object.
    """
    match value:
        case Mapping():
            return {_key(key, name): as_json(f"{key}.{name}", inner) for name, inner in value.items()}
        case list() | tuple():
            return [as_json(f"{key}.{index}", inner) for index, inner in enumerate(value)]
        case np.ndarray() | np.generic():
            return value.tolist()
        case PathLike():
            return str(fspath(value))
        case str() | bool() | int() | float() | None:
            return value
        case _:
            raise PlanError(
                f"hanse.simulate: {key}: a plan cannot hold a value of the type {type(value).__name__}",
                mend="Keys of the plan take numbers, text, lists and dictionaries.",
            )


def _key(place: str, name: object) -> str:
    if isinstance(name, str):
        return name
    raise PlanError(f"hanse.simulate: {place}: the key {json.dumps(name, default=repr)} is not text")
