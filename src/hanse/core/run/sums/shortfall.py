"""Words for a masked sum that cannot be: which cell, who is missing, in which attempt, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.wording import MOST_NAMED, and_more, counted, named, shortened

_MOST_CELLS = 5


class FailedMember(Protocol):
    """A member of an exchange, as far as words need it."""

    @property
    def reason(self) -> str:
        """Why it failed, or fell silent."""


def cell_shortfall(standing: CellStanding, members: Mapping[str, FailedMember], *, overdue: bool) -> str:
    """Say what a cell lacks: `it lacks 1 member: no READY of b`.

    Args:
        standing: A cell that is not complete.
        members: Of the exchange.
        overdue: Whether its time is over.
    """
    missing = standing.missing
    if standing.failed:
        told = [f"{site}: {shortened(members[site].reason) or 'failed'}" for site in missing[:MOST_NAMED]]
        told += and_more(missing, MOST_NAMED)[MOST_NAMED:]
    else:
        what = "READY" if standing.rho is None else "masked vector"
        told = [f"no {what} of {named(missing)}" + (" at the deadline" if overdue else "")]
    attempt = f" (attempt {standing.attempt}: {standing.reason})" if standing.reason else ""
    return f"it lacks {counted(len(missing), 'member')}{attempt}: " + "; ".join(told)


def sum_shortfall(
    place: str,
    lacking: Sequence[CellStanding],
    members: Mapping[str, FailedMember],
    when: str,
    why: str,
) -> str:
    """Say why an exchange has no masked sum.

    Args:
        place: Round and task.
        lacking: Cells that are not complete, in order of their names.
        members: Of the exchange.
        when: ` within the deadline of 600 s`, or empty.
        why: The rule that is broken, with its fix.
    """
    cells = []
    for standing in lacking[:_MOST_CELLS]:
        reason = standing.left_out or cell_shortfall(standing, members, overdue=False)
        cells.append(f"the cell {standing.cell} {reason.removeprefix('it ')}")
    if len(lacking) > _MOST_CELLS:
        cells.append(f"and {counted(len(lacking) - _MOST_CELLS, 'cell')} more")
    return f"{place}: no masked sum{when}: " + "; ".join([*cells, why])


def lacking_others(cell: str, missing: Sequence[str]) -> str:
    """Say of a member that it is not in a sum for lack of others: `its cell north lacks b`."""
    return f"its cell {cell} lacks {named(missing)}"
