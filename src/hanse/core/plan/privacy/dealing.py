"""Sites dealt into cells, once, before a plan is submitted; the simulator deals virtual sites alike."""

from __future__ import annotations

from collections.abc import Iterable

from hanse.core.plan.privacy.cell_rules import MOST_MEMBERS, SIZE_UP_TO
from hanse.core.values.wording import counted
from hanse.errors import PlanError

SIZE = 12
"""Members of a cell where there are several, unless stated."""
ONE = "all"
"""Name of the cell where there is one."""


def deal(sites: Iterable[str], least: int, size: int | None = None) -> dict[str, tuple[str, ...]]:
    """Deal sites into cells by their names: neighbours in the order of the names share a cell.

    Args:
        sites: Names, each once.
        least: Fewest members of a cell.
        size: Members of a cell, as nearly as the cells can be of one size; None for one cell of up to 20
            sites, and cells of about 12 of more.

    Returns:
        Members by cell, sorted; the sizes differ by one at most.

    Raises:
        PlanError: There are fewer sites than a cell needs.
    """
    names = sorted(sites)
    if len(names) < least:
        raise PlanError(
            f"{counted(len(names), 'site')} are fewer than a cell needs, {least}",
            mend="Add sites, or lower `cohort: {minimum, cell_minimum}` or `colluders` in the plan.",
        )
    if size is None:
        size = len(names) if len(names) <= SIZE_UP_TO else SIZE
    wanted = min(max(size, least), MOST_MEMBERS)
    fewest_cells = -(-len(names) // MOST_MEMBERS)
    count = min(max(round(len(names) / wanted), fewest_cells, 1), max(len(names) // least, 1))
    if count == 1:
        return {ONE: tuple(names)}
    ends = [len(names) * place // count for place in range(count + 1)]
    digits = len(str(count))
    return {
        f"cell-{place + 1:0{digits}}": tuple(names[ends[place] : ends[place + 1]]) for place in range(count)
    }
