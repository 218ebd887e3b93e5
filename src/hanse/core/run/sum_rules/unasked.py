"""Cells that are not asked, as a member takes no part: which, and for lack of whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from hanse.core.plan.privacy.cells import members_of
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.values.wording import named

SUSPENDED = "is suspended"
LEFT = "has left"
REFUSED = "refused the plan"
NOT_ACCEPTED = "has not accepted the plan"


def unasked_cells(run: Run, exchange: Exchange) -> dict[str, str]:
    """The cells that a masked sum is not asked of, each with why; none of another exchange.

    A whole cell that the draw or the workflow passed over is not among them.
    """
    if not exchange.sums:
        return {}
    cells = {cell: members_of(run.plan, cell) for cell in run.plan.cells if cell not in exchange.sums}
    return lacking_cells(cells, exchange.sums, lambda site: _absence(run, site))


def lacking_cells(
    cells: Mapping[str, Sequence[str]], asked: Collection[str], absence: Callable[[str], str]
) -> dict[str, str]:
    """Say of each cell that cannot be asked for lack of whom.

    Args:
        cells: Members of cells, by name.
        asked: Names of the cells that are asked.
        absence: Says why a site takes no part, `is suspended`; empty where it does.
    """
    found = {}
    for cell, members in cells.items():
        away = {site: why for site in members if (why := absence(site))}
        if cell in asked or not away:
            continue
        others = [site for site in members if site not in away]
        without = "without it" if len(away) == 1 else "without them"
        are = "is" if len(others) == 1 else "are"
        also = f"; {without} {named(others)} {are} not asked either" if others else ""
        found[cell] = named([f"{site} {why}" for site, why in away.items()]) + also
    return found


def _absence(run: Run, site: str) -> str:
    if site in run.left:
        return LEFT
    if site in run.refusals:
        return REFUSED
    if site not in run.taking_part:
        return NOT_ACCEPTED
    return SUSPENDED if site in run.failure_record.suspensions else ""
