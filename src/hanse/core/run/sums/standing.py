"""Where each cell of a masked sum stands; the roster of an attempt follows from its READYs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.run.sums.events import Sites
from hanse.core.values.statements import SignedStatement


@dataclass(frozen=True, slots=True)
class CellStanding:
    """One cell in one exchange.

    Attributes:
        cell: Its name.
        members: In site order.
        attempt: Number of the present attempt.
        ready: READYs of the present attempt, by site.
        masked: Digests of the masked vectors of the present attempt, by site.
        commitments: First commitment of each member in this exchange, by site.
        reason: Why the attempt before could not end; empty for the first.
        left_out: Why the cell is not in the sum; empty where it is.
        opened: Whether its sum was recorded.
    """

    cell: str
    members: Sites
    attempt: int = 1
    ready: Mapping[str, SignedStatement] = field(default_factory=dict)
    masked: Mapping[str, str] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    left_out: str = ""
    opened: bool = False

    @property
    def complete(self) -> bool:
        """Check if every member's masked vector is here."""
        return len(self.masked) == len(self.members)

    @property
    def awaited(self) -> Sites:
        """Members that the present phase waits for, in site order; none of a cell that ended."""
        if self.left_out or self.complete:
            return ()
        here = self.masked if len(self.ready) == len(self.members) else self.ready
        return tuple(site for site in self.members if site not in here)
