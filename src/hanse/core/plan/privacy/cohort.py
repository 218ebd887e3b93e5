"""Cohort of a round of a plan: of sites, or of whole cells where sums are masked."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from hanse.core.plan.cohort import Sites, select
from hanse.core.plan.privacy.parts import PlanParts
from hanse.core.values.seeds import derive


def select_cohort(
    plan: PlanParts, round_number: int, population: Iterable[str], aside: Collection[str] = ()
) -> tuple[Sites, Sites]:
    """Draw a round's cohort, the same for the same seed; with masked sums whole cells, by their names.

    Args:
        plan: The plan.
        round_number: Counted from 1.
        population: Sites that take part in the run.
        aside: Those of them that are suspended.

    Returns:
        See `hanse.core.plan.cohort.select`. A cell that lacks a member, or of which one is suspended, is not
        asked; of the latter whose place no cell takes, the suspended members are named.
    """
    if plan.privacy.secure_aggregation is None:
        return select(plan.cohort, plan.seed, round_number, population, aside)
    cells = whole_cells(plan, population)
    drawn = sorted(cells, key=lambda cell: (derive(plan.seed, "cohort", round_number, cell), cell))
    free = [cell for cell in drawn if not any(site in aside for site in cells[cell])]
    size = _cells_wanted(plan, [cells[cell] for cell in (*free, *(c for c in drawn if c not in free))])
    without = [cell for cell in drawn if cell not in free][: max(size - len(free), 0)]
    cohort = (site for cell in free[:size] for site in cells[cell])
    suspended = (site for cell in without for site in cells[cell] if site in aside)
    return tuple(sorted(cohort)), tuple(sorted(suspended))


def whole_cells(plan: PlanParts, sites: Iterable[str]) -> dict[str, Sites]:
    """The cells of which all members are among these sites, with their members in site order."""
    here = set(sites)
    return {cell: tuple(sorted(members)) for cell, members in plan.cells.items() if here.issuperset(members)}


def askable(plan: PlanParts, sites: Collection[str]) -> int:
    """Number of these sites that a round could ask: with masked sums the members of whole cells only."""
    if plan.privacy.secure_aggregation is None:
        return len(sites)
    return sum(map(len, whole_cells(plan, sites).values()))


def _cells_wanted(plan: PlanParts, cells: list[Sites]) -> int:
    """Cells that a round is to ask, of those in the order of the draw: a fraction, and enough members."""
    size = min(math.ceil(round(plan.cohort.fraction * len(cells), 9)), len(cells))
    while size < len(cells) and sum(map(len, cells[:size])) < plan.cohort.minimum:
        size += 1
    return size
