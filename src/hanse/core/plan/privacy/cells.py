"""Cells of a plan with secure aggregation, and which of its tasks are summed masked."""

from __future__ import annotations

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.privacy.parts import PlanParts, section_of
from hanse.core.plan.privacy.secure_aggregation import ExampleBounds
from hanse.core.plan.tasks import INITIALISE, GroupRule
from hanse.errors import PlanError


def is_secure(plan: PlanParts, task: str) -> bool:
    """Check if update or groups of a task are summed masked (`aggregated_by: secure_aggregation`)."""
    return task in plan.tasks and plan.tasks[task].discloses.aggregated_by == "secure_aggregation"


def masks(plan: PlanParts, task: str) -> bool:
    """Check if what a task discloses leaves a site masked only, metrics and number of examples included.

    In a plan with the section that is each task but those `in_the_open`. Such a task may disclose no arrays
    at all: its metrics are masked then.
    """
    section = plan.privacy.secure_aggregation
    if section is None or task == INITIALISE or task not in plan.tasks:
        return False
    return is_secure(plan, task) or task not in section.in_the_open


def weighs(plan: PlanParts, task: str) -> bool:
    """Check if anything of a masked task is weighed by number of examples.

    Then its metrics are weighed too, and a site needs `least` examples. Metrics alone are not weighed.
    """
    disclosure = plan.tasks[task].discloses
    rules = list(disclosure.groups.values())
    if disclosure.update == "aggregate":
        rules.append(plan.aggregation.robust or _rule_of_means(plan.aggregation))
    return any(_weighs(rule) for rule in rules)


def counts_examples(plan: PlanParts, task: str) -> bool:
    """Check if the numbers of examples of a masked task are summed: wherever the plan bounds them."""
    return masks(plan, task) and section_of(plan).examples is not None


def weighed_tasks(plan: PlanParts) -> tuple[str, ...]:
    """The masked tasks of which anything is weighed by number of examples."""
    return tuple(name for name in plan.tasks if masks(plan, name) and weighs(plan, name))


def cell_of(plan: PlanParts, site: str) -> str:
    """The cell of a site.

    Raises:
        PlanError: The site is in none.
    """
    for cell, members in plan.cells.items():
        if site in members:
            return cell
    raise PlanError(f"{site} is in no cell of the plan", mend="Add it to one under `cells`: another plan.")


def members_of(plan: PlanParts, cell: str) -> tuple[str, ...]:
    """The members of a cell, sorted by name.

    Raises:
        PlanError: The plan has no such cell.
    """
    if cell not in plan.cells:
        raise PlanError(f"the plan has no cell {cell!r}; it has: {', '.join(plan.cells) or 'none'}")
    return tuple(sorted(plan.cells[cell]))


def largest_cell(plan: PlanParts) -> int:
    """N: number of members of the largest cell; 0 without cells."""
    return max(map(len, plan.cells.values()), default=0)


def smallest_cell(plan: PlanParts) -> int:
    """n: number of members of the smallest cell; 0 without cells."""
    return min(map(len, plan.cells.values()), default=0)


def colluders_of(plan: PlanParts) -> int:
    """c: members of each cell that may collude; unset in the plan a third of the others, at least 1.

    Raises:
        ValueError: The plan has no section `privacy: secure_aggregation`.
    """
    stated = section_of(plan).colluders
    return max(1, (smallest_cell(plan) - 1) // 3) if stated is None else stated


def largest_share(examples: ExampleBounds, members: int, colluders: int) -> float:
    """Largest share of one site in a weighted mean that is possible by the bounds alone.

    Args:
        examples: The plan's bounds.
        members: Of the cell.
        colluders: c. They know their own numbers of examples, and can subtract them.
    """
    return examples.most / (examples.most + (members - 1 - colluders) * examples.least)


def _rule_of_means(aggregation: Aggregation) -> GroupRule:
    return "weighted_mean" if aggregation.rule == "weighted_mean" else "mean"


def _weighs(rule: GroupRule) -> bool:
    """Of a robust rule over cells: the mean of a cell, and its weight, are by examples where it says so."""
    return rule == "weighted_mean" if isinstance(rule, str) else getattr(rule, "weights", "") == "examples"
