"""The file of an aggregate: its update, its combined groups, and each site's individual groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hanse.core.values.groups import MARK, Group, flattened, nested, without_groups
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.update import Aggregate

_EACH = "@@"
"""Begins the name of a site's own: `@@site/group` or `@@site/group/array`."""


def has_arrays(aggregate: Aggregate) -> bool:
    """Check if there is anything to write."""
    return aggregate.delta is not None or bool(aggregate.groups) or bool(aggregate.each)


def aggregate_file(aggregate: Aggregate) -> dict[str, Array]:
    """The tensors of an aggregate, each by a name of its own; they may be computed where they are read."""
    tensors = {**(aggregate.delta or {}), **flattened(aggregate.groups)}
    for group, values in aggregate.each.items():
        for site, value in values.items():
            own = flattened({group: value})
            tensors |= {f"{_EACH}{site}/{name.removeprefix(MARK)}": array for name, array in own.items()}
    return tensors


def opened_aggregate(aggregate: Aggregate, tensors: Parameters, *, grouped: bool) -> Aggregate:
    """The aggregate with the tensors of its file.

    Args:
        aggregate: All of it but its arrays; its `delta` is None where there is no update.
        tensors: As `aggregate_file` names them.
        grouped: Whether there are groups among them.
    """
    if not grouped:
        return aggregate if aggregate.delta is None else replace(aggregate, delta=tensors)
    each: dict[str, dict[str, Group]] = {}
    for site, own in _by_site(tensors).items():
        for group, value in nested(own).items():
            each.setdefault(group, {})[site] = value
    combined = {name: array for name, array in tensors.items() if not name.startswith(_EACH)}
    delta = None if aggregate.delta is None else without_groups(combined)
    return replace(aggregate, delta=delta, groups=nested(combined), each=each)


def _by_site(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        if name.startswith(_EACH):
            site, _, rest = name.removeprefix(_EACH).partition("/")
            found.setdefault(site, {})[f"{MARK}{rest}"] = array
    return found
