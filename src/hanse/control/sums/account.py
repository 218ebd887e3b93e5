"""Masked sums in an auditor's report: which there were, who was in them, and what they do not prove."""

from __future__ import annotations

from hanse.control.report import (
    SUMS,
    AuditReport,
    Check,
    InSum,
    ReportedSum,
    note_sum,
)
from hanse.control.sums.checks import SumChecks
from hanse.control.sums.evidence import CellEvidence, MaskedExchange
from hanse.control.sums.files import SumFiles
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.run.events import Event
from hanse.core.run.round_events import UpdatesAggregated
from hanse.core.run.run import Run
from hanse.core.run.sums.events import SiteReady, SumOpened
from hanse.core.values.update import Metrics
from hanse.core.values.wording import counted, named
from hanse.errors import HanseError

_MOST_NAMED = 20


class SumReport:
    """Fills the sums of a journal into a report.

    Args:
        report: Takes in what is found.
        checks: Follows the sums.
        files: Files beside the journal.
    """

    def __init__(self, report: AuditReport, checks: SumChecks, files: SumFiles) -> None:
        self._report = report
        self._checks = checks
        self._files = files
        self._metrics: dict[int, Metrics] = {}
        self._over = False

    def stop(self) -> None:
        """Report no more problems, as the events from here on have no state to be held against."""
        self._over = True

    def examine(self, event: Event, run: Run | None, where: str, time_ms: int) -> None:
        """Take in an event.

        Args:
            event: The event.
            run: The run before the event; None where it cannot be replayed.
            where: Names the record.
            time_ms: Time of the record, milliseconds since 1970.
        """
        problems = list(self._checks.examine(event, run))
        for problem in problems:
            self._fail(f"{where}: {problem}")
        if problems and not self._over:
            # Each sum builds on those before: what follows from this finding is none of its own.
            self.stop()
            self._report.notes.append(
                f"the check of sums ends at {where}: what comes after has nothing to be held against"
            )
        if isinstance(event, SumOpened):
            self._sum(event, where, time_ms)
        elif isinstance(event, UpdatesAggregated):
            self._aggregated(event, where)
        elif isinstance(event, SiteReady) and event.site in self._report.sites:
            self._report.sites[event.site].attempts += 1

    def metrics_of(self, exchange: int) -> Metrics | None:
        """Mean of each metric of a masked exchange; None where its vectors are not at hand."""
        return self._metrics.get(exchange)

    def conclude(self) -> None:
        """Say what the sums do not prove; nothing where there were none."""
        if not self._checks.exchanges:
            return
        self._check  # noqa: B018 - a run without a sum passes the check too
        proved = self._report.not_proved
        proved.append(
            "that a signing key belongs to a hospital, or that a site masked what it computed from its data: "
            "the journal shows which keys took part in each masked sum, and of which vectors it is the sum"
        )
        missing = sum(not found.added for found in self._report.sums)
        damaged = [str(path) for path in self._files.damaged]
        if damaged:
            self._report.notes.append(
                f"damaged or altered, since the digest of these files is not their name: "
                f"{named(damaged, _MOST_NAMED)}"
            )
        if missing:
            where = "add --blobs FOLDER" if self._files.folder is None else f"{self._files.folder} lacks them"
            if damaged:
                where = f"{self._files.folder} lacks them, or has them damaged: see the notes"
            proved.append(
                f"that {missing} of the {len(self._report.sums)} masked sums are of the vectors that the "
                "sites signed, and that metrics and examples follow: an aggregator keeps the vectors until "
                f"the round is committed; {where}"
            )
        unknown = sorted({*self._checks.without_layout})
        if unknown:
            listed = named([str(number) for number in unknown], _MOST_NAMED)
            proved.append(
                f"that the masked sums of {counted(len(unknown), 'exchange')} ({listed}) have the layout "
                "that follows from the plan: all members of each stated the same one, and files of the model "
                "or of groups that they received are not at hand"
            )

    @property
    def _check(self) -> Check:
        """The check of sums; of a plan without masked tasks it is in the report where something is wrong."""
        return self._report.checks.setdefault(SUMS, Check(SUMS))

    def _fail(self, problem: str) -> None:
        if not self._over:
            self._check.fail(problem)

    def _sum(self, event: SumOpened, where: str, time_ms: int) -> None:
        exchange = self._checks.exchanges.get(event.exchange)
        cell = None if exchange is None else exchange.cells.get(event.cell)
        if exchange is None or cell is None:
            return  # the check says so
        added = self._files.add_up(exchange, event)
        for problem in added.problems:
            self._fail(f"{where}: the sum of cell {event.cell} in exchange {event.exchange}: {problem}")
        self._tell(event, exchange, cell, time_ms, added.added)

    def _aggregated(self, event: UpdatesAggregated, where: str) -> None:
        exchange = self._checks.exchanges.get(event.exchange)
        if exchange is None:
            return
        what = f"{where}: the sum of all cells in exchange {event.exchange}"
        try:
            found = self._files.aggregate(exchange)
        except HanseError as error:
            self._fail(f"{what}: {error.message}")
            return
        if found is None:
            return
        self._metrics[event.exchange] = found.metrics
        if found.aggregate != event.aggregate:
            stated = f"{found.aggregate or 'none'}"[:12], f"{event.aggregate or 'none'}"[:12]
            problem = f"{what} is {stated[0]} by the vectors, and not {stated[1]}"
            if _is_exact(exchange):
                self._fail(problem)
            else:
                self._report.notes.append(f"{problem}; robust rules may round in another way here")

    def _tell(
        self, event: SumOpened, exchange: MaskedExchange, cell: CellEvidence, time_ms: int, added: bool
    ) -> None:
        opened = exchange.opened
        place = (opened.round_number, event.exchange, opened.task, time_ms)
        of_sum = (event.cell, cell.members, event.attempt, event.rho)
        stated = (event.masked, event.sum, event.num_examples, event.error)
        cut = (event.clipped, event.out_of_range)
        for told in self._report.exchanges:
            if told["exchange"] == event.exchange:
                note_sum(told, event)
        self._report.sums.append(ReportedSum(*place, *of_sum, tuple(cell.reasons), *stated, added, *cut))
        for site in cell.members:
            account = self._report.sites.get(site)
            if account is not None:
                account.sums.append(InSum(*place, *of_sum))


def _is_exact(exchange: MaskedExchange) -> bool:
    """Check if the aggregate has the same bits on every machine: robust rules sum over coordinates."""
    plan = exchange.plan
    return plan.aggregation.robust is None and not disclosure_of(plan, exchange.opened.task).robust_groups
