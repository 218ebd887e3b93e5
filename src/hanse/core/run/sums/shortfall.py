"""Words for a masked sum that cannot be: which cell, who is missing, in which attempt, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.wording import MOST_NAMED, and_more, counted, named, shortened

_MOST_CELLS = 5


class FailedMember(Protocol):
    """A member of an exchange, as far as words need it."""

    @property
    def reason(self) -> str:
        """Why it failed, or fell silent."""


def cell_shortfall(standing: CellStanding, members: Mapping[str, FailedMember]) -> str:
    """Say what a cell lacks.

    Args:
        standing: A cell that is not complete.
        members: Of the exchange.
    """
    told: list[str] = []
    for site in standing.failed[:MOST_NAMED]:
        told.append(f"{site}: {shortened(members[site].reason) or 'failed'}")
    told += and_more(standing.failed, MOST_NAMED)[MOST_NAMED:]
    if awaited := standing.awaited:
        what = "READY" if standing.rho is None else "masked vector"
        told.append(f"no {what} of {named(awaited)}")
    attempt = f" (attempt {standing.attempt}: {standing.reason})" if standing.reason else ""
    return (
        f"the cell {standing.cell} lacks {counted(len(standing.missing), 'member')}{attempt}: "
        + "; ".join(told)
    )


def sum_shortfall(
    place: str, lacking: list[CellStanding], members: Mapping[str, FailedMember], when: str, why: str
) -> str:
    """Say why an exchange has no masked sum.

    Args:
        place: Round and task.
        lacking: Cells that are not complete, in order of their names.
        members: Of the exchange.
        when: ` within the deadline of 600 s`, or empty.
        why: The rule that is broken, with its fix.
    """
    cells = [cell_shortfall(standing, members) for standing in lacking[:_MOST_CELLS]]
    if len(lacking) > _MOST_CELLS:
        cells.append(f"and {counted(len(lacking) - _MOST_CELLS, 'cell')} more")
    return f"{place}: no masked sum{when}: " + "; ".join([*cells, why])
