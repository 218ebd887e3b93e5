"""Algorithms in plans with secure aggregation: ranges of their groups, and which algorithms can be masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.examples import EXAMPLES
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.plan.groups import read_group
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cell_rules import FEWEST_SUMS
from hanse.core.plan.privacy.cells import is_secure, largest_cell
from hanse.core.plan.privacy.number_rules import group_range
from hanse.core.plan.privacy.parts import section_of
from hanse.core.plan.robust_rules import RULES
from hanse.core.values.wording import named
from hanse.privacy.secagg.grid import grid_bits, largest_error, step_of

_KNOWN: Mapping[str, Mapping[str, list[float]]] = {"ifca": {"members": [0, 1]}}
"""Ranges that follow from the algorithm alone, by group."""


def with_ranges(name: str, own: Keys, plan: Keys) -> dict[str, Any]:
    """A plan with secure aggregation, with the ranges of groups that follow from its settings.

    Counts of rows are at most the number of examples of a site, `most`. A range that the author wrote stays;
    groups whose range cannot be known are refused later, by name.

    Args:
        name: The algorithm of the plan.
        own: The keys that it stands for.
        plan: The keys of the plan file with these, not yet checked; without secure aggregation they stay as
            they are.
    """
    section = _at(plan, "privacy", "secure_aggregation")
    groups = plan.get("groups")
    if not isinstance(section, Mapping) or not isinstance(groups, Mapping):
        return dict(plan)
    most, batches = _at(section, "examples", "most"), _at(plan, "tasks", "train", "batches")
    ranges: dict[str, list[float]] = dict(_KNOWN.get(name, {}))
    if name == "fednova" and isinstance(batches, int):
        ranges["steps"] = [0, batches]
    if isinstance(most, int):
        ranges |= {group: [0, most] for group in _counts(own)}
    filled = {
        group: {**declared, "range": ranges[group]}
        if isinstance(declared, Mapping) and group in ranges and "range" not in declared
        else declared
        for group, declared in groups.items()
    }
    return {**plan, "groups": filled}


def needs_of_masks(algorithm: Algorithm) -> str:
    """Say what a plan with an algorithm needs for masked sums beside bounds; `no` where there are none."""
    own = algorithm.keys(algorithm.settings.model_validate(EXAMPLES.get(algorithm.name, {})))
    rule = _at(own, "aggregation", "rule")
    if isinstance(rule, str) and rule in RULES:
        fewest = RULES[rule].model_validate(own["aggregation"]).fewest
        return f"over {max(fewest, FEWEST_SUMS)} cells or more"
    if not algorithm.sums_suffice:
        return "no"
    needs = []
    if counts := _counts(own):
        needs.append(f"`examples: {{most: ...}}` for {named([f'`{group}`' for group in counts])}")
    known = {*counts, *_KNOWN.get(algorithm.name, {})}
    if others := [group for group in _sent(own) if group not in known]:
        needs.append(f"`range` of {named([f'`{group}`' for group in others])}")
    return "yes" + "".join(f", with {need}" for need in needs)


def _sent(keys: Keys) -> tuple[str, ...]:
    """Groups that the algorithm's tasks disclose."""
    tasks = keys.get("tasks", {}).values()
    return tuple(dict.fromkeys(group for task in tasks for group in _at(task, "discloses", "groups") or ()))


def _counts(keys: Keys) -> tuple[str, ...]:
    """Groups that a built-in workflow counts rows in: all of their arrays hold whole numbers."""
    if keys.get("workflow") not in BUILT_IN:
        return ()
    dtypes = {group: read_group(keys["groups"][group]).dtypes for group in _sent(keys)}
    return tuple(group for group, found in dtypes.items() if found and found <= {"int32", "int64"})


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table


def error_of_total(plan: Plan, task: str, group: str, sites: int) -> float:
    """Largest error of a number of float64 in a group's total over sites, by random rounding to the grid.

    Args:
        plan: The plan.
        task: Discloses the group as a `total`.
        group: The group.
        sites: Sites in the sum.

    Returns:
        In the unit of the numbers; 0 where the sum is not masked.
    """
    bounds = group_range(plan, group) if is_secure(plan, task) else None
    if bounds is None:
        return 0.0
    bits = grid_bits(section_of(plan).ring, largest_cell(plan))
    return largest_error(step_of(*bounds, bits), bits, sites, 1.0)
