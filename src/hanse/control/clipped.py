"""Lines about the sites of a masked sum whose numbers were cut to the plan's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class CountedSum(Protocol):
    """A masked sum, in an event or a report."""

    @property
    def cell(self) -> str:
        """Its cell."""

    @property
    def masked(self) -> Mapping[str, str]:
        """Digest of each member's masked vector, by site."""

    @property
    def clipped(self) -> int | None:
        """Number of sites whose update was clipped; None where not summed."""

    @property
    def out_of_range(self) -> int | None:
        """Number of sites of which another number was cut to its range; None where not summed."""


class ClippedSites:
    """Follows how many sites had to cut their numbers, and shows when that changes.

    Which sites these are is in no sum, and known to them alone.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[int, int]] = {}

    def lines_for(self, event: CountedSum, place: str, task: str) -> list[str]:
        """Take in an opened sum.

        Args:
            event: The sum.
            place: Round and task, for the line.
            task: Name of the task.

        Returns:
            A line where other numbers of sites were clipped than in the sum of this task and cell before.
        """
        counts = event.clipped or 0, event.out_of_range or 0
        if self._told.get((task, event.cell), (0, 0)) == counts:
            return []
        self._told[task, event.cell] = counts
        of = f"of {len(event.masked)} sites of cell {event.cell}"
        return [
            f"{place}: at {counts[0]} {of} the update was clipped to the plan's bound; at {counts[1]} "
            "another number was cut to its range"
        ]
