"""Lines about the masked sums of a run, and what of them is kept in its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.control.clipped import ClippedSites
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened
from hanse.core.run.run_events import RunResumed, RunStarted
from hanse.core.run.sums.events import CellLeftOut, SumAttempted, SumOpened
from hanse.core.run.sums.shortfall import lacking_others
from hanse.core.values.wording import named, shortened

_SumEvent = SumAttempted | CellLeftOut | SumOpened


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Cells that are not in a masked sum, and what that means for their members.

    Attributes:
        reasons: Why, by cell.
        lost_with_cell: Members that are not in the sum for lack of others alone, with these.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    lost_with_cell: Mapping[str, str] = field(default_factory=dict)


class MaskedSums:
    """Follows the masked sums of a run by its events."""

    def __init__(self) -> None:
        self._left_out: dict[int, dict[str, CellLeftOut]] = {}
        """Cells that are not in the sum of an exchange that is open."""
        self._clipped = ClippedSites()

    def take_in(self, event: Event) -> None:
        """Take in an event of which nothing is shown here."""
        if isinstance(event, RunStarted | RunResumed):
            self._left_out.clear()  # those cells are asked again

    def lines_for(self, event: _SumEvent, opened: ExchangeOpened | None) -> list[str]:
        """Take in an event of a sum; what there is to show of it.

        Args:
            event: The event.
            opened: The opening of its exchange; None where that was not taken in.
        """
        exchange, task = event.exchange, "task" if opened is None else opened.task
        at = f"exchange {exchange}" if opened is None else f"round {opened.round_number}, {task}"
        match event:
            case SumAttempted():
                return [
                    f"{at}: attempt {event.attempt} at the sum of cell {event.cell}, since {event.reason}"
                ]
            case CellLeftOut():
                self._left_out.setdefault(exchange, {})[event.cell] = event
                members = () if opened is None else opened.members.get(event.cell, ())
                of = f" ({named(members)})" if members else ""
                return [f"{at}: cell {event.cell}{of} is left out: {event.reason}"]
            case SumOpened():
                return self._clipped.lines_for(event, at, task)

    def left_out(self, event: ExchangeClosed, opened: ExchangeOpened) -> LeftOut:
        """Cells that are not in the sum of an exchange that closes."""
        found = self._left_out.pop(event.exchange, {})
        return LeftOut(
            reasons={cell: shortened(left.reason) for cell, left in found.items()},
            lost_with_cell={
                site: lacking_others(cell, left.missing)
                for cell, left in found.items()
                for site in opened.members.get(cell, ())
                if site in event.failed and site not in left.missing
            },
        )
