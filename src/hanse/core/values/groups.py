"""Groups: the arrays that travel beside the model, and how they are named where all lie in one file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from hanse.core.values.parameters import GROUP_MARK, Array, Parameters, is_floating
from hanse.core.values.wording import named

Group = Array | Parameters
"""One array, or arrays by name."""

RESULT_NAME = r"^[A-Za-z][\w.\-]{0,62}$"
"""Pattern of the name of a result, by which its files are called."""

ARRAY_NAME = re.compile(r"[A-Za-z_][\w.\-]{0,62}")
"""Pattern of the name of an array in a result."""

Groups = Mapping[str, Group]
"""Groups by the names that the plan gives them."""

MARK = GROUP_MARK
"""First character of the name of a group's tensor: `@group` of a single array, `@group/array` of others."""


def flattened(groups: Groups) -> dict[str, Array]:
    """The arrays of all groups, each by the name that it has in a file; nothing is copied."""
    flat: dict[str, Array] = {}
    for name, group in groups.items():
        if isinstance(group, Mapping):
            flat.update({tensor_name(name, array): value for array, value in group.items()})
        else:
            flat[tensor_name(name)] = group
    return flat


def nested(tensors: Parameters) -> dict[str, Group]:
    """The groups among tensors that are named as `flattened` names them; others are left out."""
    groups: dict[str, Group] = {}
    tables: dict[str, dict[str, Array]] = {}
    for full, array in tensors.items():
        if not full.startswith(MARK):
            continue
        name, slash, inner = full.removeprefix(MARK).partition("/")
        if slash:
            groups[name] = tables.setdefault(name, {})
            tables[name][inner] = array
        else:
            groups[name] = array
    return groups


def without_groups(tensors: Parameters) -> dict[str, Array]:
    """The tensors that are of no group."""
    return {name: array for name, array in tensors.items() if not name.startswith(MARK)}


def as_file(arrays: Groups) -> dict[str, Array]:
    """Name the arrays of a workflow's state for a file: tables of arrays as those of groups."""
    tables = {name: value for name, value in arrays.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in arrays.items() if not isinstance(value, Mapping)}
    return {**plain, **flattened(tables)}


def from_file(tensors: Parameters) -> dict[str, Group]:
    """Arrays and tables that `as_file` made a file of."""
    tables = {name for name in tensors if name.startswith(MARK) and "/" in name}
    plain = {name: array for name, array in tensors.items() if name not in tables}
    return {**plain, **nested({name: tensors[name] for name in tables})}


def arrays_of(groups: Groups) -> dict[str, Array]:
    """Those that are single arrays."""
    return {name: value for name, value in groups.items() if not isinstance(value, Mapping)}


def only_groups(tensors: Parameters) -> dict[str, Array]:
    """The tensors that are of groups."""
    return {name: array for name, array in tensors.items() if name.startswith(MARK)}


def group_of(name: str) -> str:
    """The group of a tensor that is named as `flattened` names it."""
    return name.removeprefix(MARK).partition("/")[0]


def contents_in_words(names: Iterable[str], size: int) -> str:
    """Contents of a file of these tensors: `an update of 160 bytes`, or `a file of 160 bytes with group a`.

    Args:
        names: Names of the tensors.
        size: Bytes of the file.
    """
    listed = list(names)
    groups = list(dict.fromkeys(group_of(name) for name in listed if name.startswith(MARK)))
    only = bool(groups) and all(name.startswith(MARK) for name in listed)
    known = f" with group{'' if len(groups) == 1 else 's'} {named(groups)}" if groups else ""
    return f"{'a file' if only else 'an update'} of {size:,} bytes{known}"


def foreign_tensor(group: str, tensors: Iterable[str]) -> str | None:
    """Name of the first tensor of a file that is not of the group that it should hold; None for none."""
    whole, prefix = tensor_name(group), tensor_name(group, "")
    return next((name for name in tensors if name != whole and not name.startswith(prefix)), None)


def tensor_name(group: str, array: str | None = None) -> str:
    """Name of a group's tensor in a file."""
    return f"{MARK}{group}" if array is None else f"{MARK}{group}/{array}"


def zeros_like(parameters: Parameters) -> dict[str, Array]:
    """The floating-point tensors of `parameters`, each of zeros of its own shape and dtype."""
    return {
        name: np.zeros(array.shape, array.dtype.newbyteorder("="))
        for name, array in parameters.items()
        if is_floating(array.dtype)
    }
