"""Lines about the masked sums of a run, and what of them is kept in its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.control.clipped import ClippedSites
from hanse.core.plan.privacy.cells import members_of
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeClosed, ExchangeOpened
from hanse.core.run.run_events import (
    PlanAnswered,
    RunResumed,
    RunStarted,
    RunSubmitted,
    SiteInvited,
    SiteLeft,
)
from hanse.core.run.site_events import SiteReinstated, SiteSuspended
from hanse.core.run.sum_rules.unasked import LEFT, NOT_ACCEPTED, REFUSED, SUSPENDED, lacking_cells
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
        not_asked: Why cells were not asked, by cell.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    lost_with_cell: Mapping[str, str] = field(default_factory=dict)
    not_asked: Mapping[str, str] = field(default_factory=dict)


class MaskedSums:
    """Follows the masked sums of a run by its events."""

    def __init__(self) -> None:
        self._left_out: dict[int, dict[str, CellLeftOut]] = {}
        """Cells that are not in the sum of an exchange that is open."""
        self._clipped = ClippedSites()
        self._cells: dict[str, tuple[str, ...]] = {}
        """Members of the plan's cells."""
        self._away: dict[str, str] = {}
        """Sites that do not take part, with why."""
        self._suspended: set[str] = set()
        self._unasked: dict[str, str] = {}
        """Cells that were not asked of late, with why."""

    def take_in(self, event: Event) -> None:
        """Take in an event of which nothing is shown here."""
        match event:
            case RunSubmitted() if event.manifest.plan.privacy.secure_aggregation is not None:
                plan = event.manifest.plan
                self._cells = {cell: members_of(plan, cell) for cell in plan.cells}
                self._away = {site: NOT_ACCEPTED for sites in self._cells.values() for site in sites}
            case PlanAnswered() if event.accepted:
                self._away.pop(event.site, None)
            case PlanAnswered():
                self._away[event.site] = REFUSED
            case SiteLeft():
                self._away[event.site] = LEFT
                self._suspended.discard(event.site)
            case SiteInvited():
                self._away[event.site] = NOT_ACCEPTED
                self._suspended.discard(event.site)
            case SiteSuspended():
                self._suspended.add(event.site)
            case SiteReinstated():
                self._suspended.discard(event.site)
            case RunStarted():
                for site in event.population:
                    self._away.pop(site, None)
                self._left_out.clear()  # those cells are asked again
            case RunResumed():
                self._left_out.clear()
            case _:
                pass

    def opened(self, event: ExchangeOpened) -> list[str]:
        """Take in the opening of an exchange; a line on each cell that is not asked, where that changes."""
        if not event.members:
            return []
        at, now, before = f"round {event.round_number}, {event.task}", self._lacking(event), self._unasked
        again = [cell for cell in before if cell in event.members]
        # What the draw, or the workflow, passes over this time is as it was.
        self._unasked = {c: why for c, why in before.items() if c not in event.members} | now
        lines = [f"{at}: cell {cell} is asked again" for cell in again]
        new = [(cell, why) for cell, why in now.items() if before.get(cell) != why]
        return [*lines, *(f"{at}: cell {cell} is not asked, since {why}" for cell, why in new)]

    def _lacking(self, event: ExchangeOpened) -> dict[str, str]:
        suspended = dict.fromkeys(self._suspended, SUSPENDED)
        away = {**suspended, **self._away}
        return lacking_cells(self._cells, event.members, lambda site: away.get(site, ""))

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
            not_asked=self._lacking(opened) if opened.members else {},
        )
