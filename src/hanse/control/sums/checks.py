"""Checks of the masked sums in a journal: over whole cells of the plan, of what their members signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from hanse.control.sums.context import context_of, problems_of_contexts
from hanse.control.sums.evidence import Attempt, CellEvidence, MaskedExchange, RunName
from hanse.control.sums.ready import problems_of_ready, signed_body
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import counts_examples, masks, members_of, weighs
from hanse.core.plan.privacy.parts import section_of
from hanse.core.run.events import Event
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    RoundCommitted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Run
from hanse.core.run.run_events import RunResumed, RunStarted
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.values.roster import Roster
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.wording import named
from hanse.errors import HanseError, PlanError, TrustError

SumEvent = SiteReady | SumAttempted | CellLeftOut | SumOpened

LayoutOf = Callable[[MaskedExchange], str | None]
"""Digest of the layout of an exchange's vectors; None where a file is missing from which it follows."""


def no_layout(exchange: MaskedExchange) -> None:
    """Know no layout, where no files are at hand."""


class SumChecks:
    """Follows the masked sums of a journal.

    Args:
        run: The run of the journal.
        layout_of: Gives the digest of a layout.
    """

    def __init__(self, run: RunName, layout_of: LayoutOf = no_layout) -> None:
        self._name = run
        self._layout_of = layout_of
        self.exchanges: dict[int, MaskedExchange] = {}
        """Masked exchanges so far, by number."""
        self._summed: dict[str, int] = {}  # the last exchange, by cell
        self.without_layout: list[int] = []
        """Exchanges with an opened sum whose contexts could not be computed."""

    def examine(self, event: Event, run: Run | None) -> Iterator[str]:
        """Hold an event against those before it.

        Args:
            event: The event.
            run: The run before the event; None where it cannot be replayed.

        Yields:
            What speaks against the event, in words.
        """
        match event:
            case ExchangeOpened():
                yield from self._opened(event, run)
            case RunStarted() | RunResumed():
                self._resumed()
            case SiteReady():
                yield from self._ready(event)
            case SumAttempted():
                yield from self._attempted(event)
            case CellLeftOut():
                yield from self._left_out(event)
            case UpdateAccepted():
                yield from self._answered(event, run)
            case ExchangeClosed():
                if event.exchange in self.exchanges:
                    self.exchanges[event.exchange].closed = True
            case SumOpened():
                yield from self._sum(event)
            case UpdatesAggregated():
                yield from self._aggregated(event)
            case RoundCommitted() if run is not None:
                for exchange in run.in_round():
                    if exchange.sums and exchange.closed is not None and not exchange.aggregated:
                        yield f"round {event.round_number} is committed without the sum of {exchange.task!r}"
            case _:
                pass

    def masked(self, exchange: int) -> bool:
        """Check if the plan has the answers of an exchange masked."""
        return exchange in self.exchanges

    def examples_of(self, event: UpdatesAggregated) -> int | None:
        """Examples of a masked exchange; None where they are not summed, and no party knows them."""
        exchange = self.exchanges[event.exchange]
        return event.num_examples if counts_examples(exchange.plan, exchange.opened.task) else None

    def _opened(self, event: ExchangeOpened, run: Run | None) -> Iterator[str]:
        if run is None:
            return
        if not masks(run.plan, event.task):
            if event.members:
                yield f"exchange {event.exchange} states cells, and the plan does not mask {event.task!r}"
            return
        yield from _problems_of_cells(event, run.plan)
        cells = {c: CellEvidence(c, _members(run.plan, c), self._summed.get(c, 0)) for c in event.members}
        before = self.exchanges.get(event.exchange)
        if before is not None:
            cells |= _standing(before, cells, run.roster)
        self.exchanges[event.exchange] = MaskedExchange(
            opened=event,
            plan=run.plan,
            plan_digest=run.plan_digest,
            submitted_ms=run.submitted_ms,
            keys=run.roster,
            cells=cells,
            closed=before is not None and before.closed,
            aggregated=before is not None and before.aggregated,
        )

    def _resumed(self) -> None:
        """Have the cells that were left out back in the exchanges that continue."""
        for exchange in self.exchanges.values():
            for cell in () if exchange.closed else exchange.cells.values():
                cell.left_out = ""

    def _cell(self, event: SumEvent) -> tuple[MaskedExchange, CellEvidence] | str:
        exchange = self.exchanges.get(event.exchange)
        if exchange is None:
            return f"{event.kind} of exchange {event.exchange}, which the plan does not have masked"
        cell = exchange.cells.get(event.cell)
        return (
            (exchange, cell)
            if cell is not None
            else f"{event.kind} of cell {event.cell!r}, which exchange {event.exchange} does not ask"
        )

    def _ready(self, event: SiteReady) -> Iterator[str]:
        found = self._cell(event)
        if isinstance(found, str):
            yield found
            return
        exchange, cell = found
        if event.site not in cell.members:
            yield f"{event.site} is not a member of cell {cell.cell}"
            return
        try:
            signer, body = signed_body(event.statement)
        except TrustError as error:
            yield f"the READY of {event.site}: {error.message}"
            return
        yield from problems_of_ready(event, signer, body, exchange, cell, self._name)
        if exchange.closed or cell.left_out:
            yield f"the READY of {event.site} comes after the end of the cell's part in the exchange"
        cell.of(event.attempt).ready.setdefault(event.site, body)
        cell.commitments.setdefault(event.site, body.commitment)

    def _attempted(self, event: SumAttempted) -> Iterator[str]:
        found = self._cell(event)
        if isinstance(found, str):
            yield found
            return
        _, cell = found
        if event.attempt <= cell.attempt:
            yield f"attempt {event.attempt} of cell {cell.cell} begins after attempt {cell.attempt}"
            return
        if event.site not in cell.members:
            yield f"{event.site}, which begins attempt {event.attempt}, is not a member of cell {cell.cell}"
        cell.attempt = event.attempt
        cell.reasons.append(event.reason)

    def _answered(self, event: UpdateAccepted, run: Run | None) -> Iterator[str]:
        """Hold that an answer to a masked task is masked for the present attempt, and nothing else."""
        place = _place(event)
        exchange = self.exchanges.get(event.exchange)
        if exchange is None:
            if place is not None and run is not None:
                yield f"the answer of {event.site} is masked, and the plan does not say so"
            return
        task = exchange.opened.task
        if place is None:
            yield f"the answer of {event.site} to {task!r} is not masked, and the plan says that it is"
            return
        if event.num_examples or event.metrics or event.update is None:
            yield f"the masked answer of {event.site} to {task!r} has no vector, or states numbers beside it"
        cell = exchange.cells.get(place.cell)
        if cell is None or event.site not in cell.members:
            yield f"{event.site} masked for cell {place.cell!r}, of which it is not a member"
            return
        yield from _problems_of_start(event, cell)
        attempt = cell.of(place.attempt)
        if place.attempt != cell.attempt or set(attempt.ready) != set(cell.members):
            yield f"{event.site} masked for attempt {place.attempt}, of which not all READYs are there"
        elif place.rho != attempt.rho:
            yield f"{event.site} masked for another roster than that of the READYs of attempt {place.attempt}"
        if attempt.masked.setdefault(event.site, event.update or "") != event.update:
            yield f"{event.site} masked two vectors for one roster"

    def _left_out(self, event: CellLeftOut) -> Iterator[str]:
        found = self._cell(event)
        if isinstance(found, str):
            yield found
            return
        exchange, cell = found
        if section_of(exchange.plan).incomplete != "leave_out":
            yield f"cell {cell.cell} is left out, and by the plan the round fails (`incomplete: fail`)"
        masked = cell.of(cell.attempt).masked
        absent = tuple(site for site in cell.members if site not in masked)
        if cell.opened is not None or not absent:
            yield f"cell {cell.cell} is left out, and all of its members have answered"
        elif not event.missing or not {*event.missing} <= {*absent}:
            # Which of them failed, or were waited for, is for the check of the history.
            yield f"cell {cell.cell} lacks {named(absent)}, and not {named(event.missing) or 'any member'}"
        cell.left_out = event.reason or "members are missing"

    def _sum(self, event: SumOpened) -> Iterator[str]:
        found = self._cell(event)
        if isinstance(found, str):
            yield found
            return
        exchange, cell = found
        what = f"the sum of cell {cell.cell} in exchange {event.exchange}"
        if cell.opened is not None:
            yield f"{what} is opened for the second time"
        if not exchange.closed or exchange.aggregated or cell.left_out:
            yield f"{what} is opened where the exchange is not closed, has its sum, or left the cell out"
        cell.opened = event
        self._summed[event.cell] = event.exchange
        attempt = cell.of(event.attempt)
        if event.attempt != cell.attempt:
            yield f"{what} is of attempt {event.attempt}, and attempt {cell.attempt} had begun"
        absent = sorted(set(cell.members) - attempt.ready.keys())
        if absent or not attempt.ready:
            lacking = named(absent) or "any member"
            yield f"{what} is of attempt {event.attempt}, of which no READY is there from {lacking}"
        else:
            expected = self._context(exchange, cell)
            yield from (f"{what}: {problem}" for problem in problems_of_contexts(attempt, expected))
            if event.rho != attempt.rho:
                yield f"{what} states roster {event.rho[:12]}, and its READYs give {attempt.rho[:12]}"
        for site in sorted({*cell.members, *event.masked}):
            signed = attempt.masked.get(site)
            if event.masked.get(site) != signed or signed is None:
                yield (
                    f"{what} is of vector {_short(event.masked.get(site))} of {site}, and by what {site} "
                    f"signed it is {_short(signed)}"
                )
        yield from _problems_of_examples(what, event, exchange, cell)

    def _context(self, exchange: MaskedExchange, cell: CellEvidence) -> str | None:
        layout = self._layout_of(exchange)
        if layout is None:
            self.without_layout.append(exchange.opened.exchange)
            return None
        try:
            return context_of(exchange, cell, self._name, layout)
        except HanseError:
            return None

    def _aggregated(self, event: UpdatesAggregated) -> Iterator[str]:
        """Hold the sum of an exchange against the sums of its cells."""
        exchange = self.exchanges.get(event.exchange)
        if exchange is None:
            return
        exchange.aggregated = True
        cells = exchange.cells.values()
        if waiting := [cell.cell for cell in cells if cell.opened is None and not cell.left_out]:
            yield (
                f"exchange {event.exchange} is summed without cell {named(waiting)}, which was not left out"
            )
        opened = [cell for cell in cells if cell.opened is not None]
        sites = tuple(sorted(site for cell in opened for site in cell.members))
        if not opened:
            yield f"exchange {event.exchange} is summed, and no cell of it has a sum"
        examples = _examples(exchange, len(sites))
        if (event.sites, event.num_examples) != (sites, examples):
            yield (
                f"exchange {event.exchange} is said to sum {named(event.sites)} with {event.num_examples} "
                f"examples; by its sums these are {named(sites) or 'none'} with {examples}"
            )


def _examples(exchange: MaskedExchange, sites: int) -> int:
    """Examples of an exchange by the sums of its cells; the number of sites where they are not summed."""
    if not counts_examples(exchange.plan, exchange.opened.task):
        return sites
    opened = (cell.opened for cell in exchange.cells.values())
    return sum(event.num_examples or 0 for event in opened if event is not None)


def _standing(
    before: MaskedExchange, asked: Mapping[str, CellEvidence], keys: Roster
) -> dict[str, CellEvidence]:
    """The cells whose statements stand where a run that was resumed asks an exchange again.

    These are the complete ones, and those that are asked now. READYs stand as long as each was signed with
    the key that its site has now.
    """
    found = {}
    for name, cell in before.cells.items():
        present = cell.of(cell.attempt)
        if name not in asked and set(present.masked) != set(cell.members):
            continue
        cell.left_out = ""
        if name in asked and any(keys.get(site) != body.signer for site, body in present.ready.items()):
            cell.attempts[cell.attempt] = Attempt()
        found[name] = cell
    return found


def _problems_of_cells(event: ExchangeOpened, plan: Plan) -> Iterator[str]:
    """Hold the cells of a masked exchange against the plan."""
    what = f"exchange {event.exchange}"
    for cell, stated in event.members.items():
        members = _members(plan, cell)
        if tuple(sorted(stated)) != members or not members:
            by_plan = named(members) or "has no such cell"
            yield f"{what} has the members {named(stated)} in cell {cell!r}, and the plan {by_plan}"
    if not event.members:
        yield f"{what} asks for {event.task!r} without cells, and the plan has it masked"
    asked, summed = event.inputs.cells, sorted(event.members)
    if asked is not None and not {*summed} <= {*asked}:
        yield f"{what} is asked of cells {named(asked)}, and sums {named(summed)}"


def _members(plan: Plan, cell: str) -> tuple[str, ...]:
    try:
        return members_of(plan, cell)
    except PlanError:
        return ()


def _place(event: UpdateAccepted) -> SumPlace | None:
    """Where a site signed that its vector belongs; None where it signed a plain answer."""
    stated = None if event.statement is None else event.statement.body.get("secure_sum")
    try:
        return None if stated is None else SumPlace.model_validate(stated)
    except ValueError:  # another check says that this is not an outcome
        return None


def _problems_of_start(event: UpdateAccepted, cell: CellEvidence) -> Iterator[str]:
    """Hold that a member started from the local state from which all members of its cell start."""
    stated = 0 if event.statement is None else event.statement.body.get("counted", 0)
    if stated != cell.counted:
        yield (
            f"{event.site} masked what it computed from the state of exchange {stated}, and exchange "
            f"{cell.counted} was the last that summed cell {cell.cell}: its members answered other questions"
        )


def _problems_of_examples(
    what: str, event: SumOpened, exchange: MaskedExchange, cell: CellEvidence
) -> Iterator[str]:
    """Hold the number of examples of a sum against the bounds of the plan."""
    bounds = section_of(exchange.plan).examples
    if (event.num_examples is not None) != (bounds is not None) or bounds is None:
        if event.num_examples is not None or bounds is not None:
            yield f"{what} states {event.num_examples} examples, and the plan has them " + (
                "summed" if bounds is not None else "not summed"
            )
        return
    least = bounds.least if weighs(exchange.plan, exchange.opened.task) else 0
    least, most = (len(cell.members) * bound for bound in (least, bounds.most))
    if event.num_examples is not None and not least <= event.num_examples <= most:
        yield f"{what} states {event.num_examples} examples; {len(cell.members)} sites have {least} to {most}"


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
