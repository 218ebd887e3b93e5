"""What happened in a run, told line by line; the same for a simulated run, a watched one and the demo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hanse.control.evidence.event_lines import event_lines
from hanse.control.masked_sums import MaskedSums
from hanse.control.report import note_sum, participation_json
from hanse.control.silence import Silences
from hanse.core.journal.restores import read_acknowledgement
from hanse.core.plan.plan import Plan
from hanse.core.run.attendance import MOST_KEPT, Participation
from hanse.core.run.events import Event
from hanse.core.run.evidence.events import EvidenceEvent
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundCommitted,
    SiteIdle,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
)
from hanse.core.run.run_events import (
    AggregatorRestored,
    PlanAnswered,
    RunFailed,
    RunFinished,
    RunRecovered,
    RunResumed,
    RunStarted,
    RunStopped,
    RunSubmitted,
    SiteInvited,
    SiteLeft,
    WorkerRestarted,
)
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.values.update import ReportedMetrics, given
from hanse.core.values.wording import named, shortened
from hanse.errors import ProtocolError

MOST_SITES = 8
"""Sites that have a column of their own; of more, only the range of their figures is told."""
MOST_FAILURES = 100
"""Reasons of failures that are remembered."""
MOST_FIGURES = 2
"""Figures of each site in a line; all of them are in the history."""


class Timeline:
    """Follows a run by its events.

    Attributes:
        rounds: Rounds that the plan asks for.
        committed: The last committed round.
        doing: What each site is at: `train`, `train failed`, ...
        metrics: The latest figures of each site; None for one that was not defined there.
        history: The committed rounds, as JSON: number, means, the figures of each site, and who
            took part in each exchange.
        short: Rounds in which more data was missing than the plan tolerates.
    """

    def __init__(self) -> None:
        self.rounds = 0
        self.committed = 0
        self.doing: dict[str, str] = {}
        self.metrics: dict[str, dict[str, float | None]] = {}
        self.history: list[dict[str, Any]] = []
        self.short: list[int] = []
        self._rest = ""
        self._reasons: dict[tuple[int, str], str] = {}
        self._exchanges: dict[int, dict[str, Any]] = {}
        self._tasks: dict[int, ExchangeOpened] = {}
        self._silences = Silences()
        self._sums = MaskedSums()
        self._in_round: dict[str, dict[str, float | None]] = {}
        self._asked = False
        """True once a site was asked, or answered, since the last commit."""
        self._quiet: list[int] = []
        """Rounds that asked nothing and are not shown yet."""
        self._heads: tuple[str, ...] = ()
        self._failures: dict[str, str] = {}
        """Exchange of each failure that was shown last, by its reason."""
        self._trains: frozenset[str] = frozenset()
        self._of_tasks: dict[str, set[str]] = {}
        """Tasks that gave each metric."""

    def lines_for(self, event: Event) -> list[str]:
        """Take in an event; what there is to tell of it."""
        self._silences.take_in(event)
        self._sums.take_in(event)
        self._asked |= isinstance(event, ExchangeOpened | UpdateAccepted | TaskFailed | SiteIdle)
        match event:
            case ExchangeOpened():
                self._tasks[event.exchange] = event
                self.doing |= dict.fromkeys(event.cohort, f"{event.task} asked")
                return self._sums.opened(event)
            case TaskStarted():
                self.doing[event.site] = self.task_of(event.exchange)
                return []
            case UpdateAccepted():
                self.doing[event.site] = f"{self.task_of(event.exchange)} done"
                # What is measured later in a round stands before what is measured earlier, as in `fedavg`.
                self._in_round.setdefault(event.site, {}).update(event.metrics)
                self.metrics.setdefault(event.site, {}).update(event.metrics)
                for name in event.metrics:
                    self._of_tasks.setdefault(name, set()).add(self.task_of(event.exchange))
                return []
            case SiteReady():
                self.doing[event.site] = f"{self.task_of(event.exchange)} ready"
                return []
            case SumAttempted() | CellLeftOut() | SumOpened():
                if isinstance(event, SumOpened) and event.exchange in self._exchanges:
                    note_sum(self._exchanges[event.exchange], event)
                return self._sums.lines_for(event, self._tasks.get(event.exchange))
            case TaskFailed():
                self._reasons[event.exchange, event.site] = event.reason
                self.doing[event.site] = f"{self.task_of(event.exchange)} failed"
                return self._failure(event)
            case SiteIdle():
                self.doing[event.site] = f"{self.task_of(event.exchange)} idle"
                return [f"{self._at(event.exchange)}: {self._silences.describe(event)}"]
            case RoundCommitted():
                return self._round(event)
            case RunSubmitted():
                self.rounds = event.manifest.plan.rounds
                self._rest = event.manifest.plan.cohort.rest
                self._trains = _trained_by_fedavg(event.manifest.plan)
                return _told(event)
            case ExchangeClosed():
                return self._closed(event)
            case ResultRefused(num_examples=int()):
                return self._late(event)
            case SiteSuspended():
                self.doing[event.site] = "suspended"
                rest = f"; its rest: {self._rest}" if self._rest else ""
                return [f"warning: {event.site} is suspended: {event.reason}{rest}"]
            case SiteReinstated():
                self.doing.pop(event.site, None)
                return _told(event)
            case RunFinished():
                return [*self._told_quiet(), *_told(event), *self._shortage()]
            case _:
                return _told(event)

    def _failure(self, event: TaskFailed) -> list[str]:
        """Show a failure once: with its trace the first time, by its reason alone in later rounds."""
        at, last = self._at(event.exchange), self._failures.get(event.reason)
        if len(self._failures) >= MOST_FAILURES:
            self._failures.clear()
        self._failures[event.reason] = at
        if last == at:
            return [f"{at}: {event.site} failed in the same way"]
        tail = _tail(event.log_tail, event.reason) if last is None else []
        return [f"{at}: {event.site} failed: {event.reason}", *tail]

    def _closed(self, event: ExchangeClosed) -> list[str]:
        """Keep who took part, and tell whom the exchange went without."""
        opened = self._tasks.get(event.exchange)
        if opened is None or (event.data is None and not opened.members):
            return []
        cells = self._sums.left_out(event, opened)
        found = Participation(
            exchange=event.exchange,
            round_number=opened.round_number,
            index=opened.index,
            task=opened.task,
            cause=event.cause,
            # Of an exchange that was asked again after a resume, its opening names those asked then.
            asked=tuple(sorted({*opened.cohort, *event.answered, *event.failed, *event.missing})),
            answered=event.answered,
            failed={
                site: shortened(self._reasons.get((event.exchange, site), "takes no part any more"))
                for site in event.failed
                if site not in cells.lost_with_cell
            },
            idle=event.idle,
            unanswered=tuple(site for site in event.missing if site not in event.idle),
            suspended=event.suspended,
            data=event.data,
            masked=bool(opened.members),
            left_out=cells.reasons,
            lost_with_cell=cells.lost_with_cell,
            not_asked=cells.not_asked,
        )
        self._exchanges[event.exchange] = told = participation_json(found)
        if found.too_little:
            if found.round_number not in self.short:
                self.short.append(found.round_number)
            return [f"warning: {told['told']}"]
        # Who is suspended was told when that began, and whom a masked sum lacks with its cell.
        if event.data is None:
            return []
        new = event.failed or event.missing or set(event.data.unknown) - {*event.suspended}
        return [told["told"]] if new and event.data.tolerated is not None else []

    def _late(self, event: ResultRefused) -> list[str]:
        if event.exchange in self._exchanges:
            self._exchanges[event.exchange]["late"][event.site] = event.num_examples
        late = f"{event.site} answered after the close; its {event.num_examples} examples are not in it"
        return [f"{self._at(event.exchange)}: {late}"]

    def _shortage(self) -> list[str]:
        """How often too much data was missing, at the end of a run."""
        if not self.short:
            return []
        which = "round" if len(self.short) == 1 else "rounds"
        shown = named([str(number) for number in self.short])
        return [f"warning: in {which} {shown}, more data was missing than the plan tolerates"]

    def _round(self, event: RoundCommitted) -> list[str]:
        self.committed = event.round_number
        sites, self._in_round = self._in_round, {}
        asked, self._asked = self._asked, False
        if event.round_number == 0:
            return []
        of_round = [told for told in self._exchanges.values() if told["round"] == event.round_number]
        self.history.append(
            {
                "round": event.round_number,
                "metrics": dict(event.metrics),
                "sites": sites,
                "exchanges": of_round,
            }
        )
        self._reasons.clear()
        self._exchanges = dict(list(self._exchanges.items())[-MOST_KEPT:])
        if not (asked or event.metrics or event.best):
            self._quiet.append(event.round_number)
            return []
        return [*self._told_quiet(), *self._row(event, sites)]

    def _told_quiet(self) -> list[str]:
        """A line on the rounds before that asked nothing, such as those after a regression has converged."""
        quiet, self._quiet = self._quiet, []
        if not quiet:
            return []
        if len(quiet) == 1:
            return [f"round {quiet[0]} asked nothing"]
        return [f"rounds {quiet[0]} to {quiet[-1]} asked nothing"]

    def _row(self, event: RoundCommitted, sites: dict[str, dict[str, float | None]]) -> list[str]:
        """The line of a round, below the heads of its columns where these are new."""
        names = in_order(name for metrics in self.metrics.values() for name in metrics)[:MOST_FIGURES]
        cells = {"round": f"{event.round_number}/{self.rounds}"}
        cells |= {name: figure(event.metrics[name]) for name in in_order(event.metrics)}
        if not names:
            pass  # of sites that report no metrics there is nothing to show
        elif len(self.metrics) <= MOST_SITES:
            cells |= {site: _figures(sites.get(site, {}), names) for site in sorted(self.metrics)}
        else:
            cells |= {f"{name} of {len(sites)} sites": _range(sites.values(), name) for name in names}
        row = "  ".join(f"{cell:>{self._width(head, names)}}" for head, cell in cells.items())
        return [*self._head(tuple(cells), names), f"{row}  best so far" if event.best else row]

    def _head(self, heads: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
        """The heads of the columns, where they are others than in the round before."""
        if heads == self._heads:
            return []
        self._heads = heads
        row = "  ".join(f"{head:>{self._width(head, names)}}" for head in heads)
        legend = f"Means over the sites, and of each site {'/'.join(names)}:"
        lines = [*self._before_averaging(), row]
        return [legend, *lines] if set(heads) & self.metrics.keys() else lines

    def _before_averaging(self) -> list[str]:
        """A line on metrics of what each site has just trained, and not of the averaged model."""
        local = [name for name, tasks in self._of_tasks.items() if tasks <= self._trains]
        if not local:
            return []
        names = named(in_order(local))
        return [f"({names}: of each site's own model, as trained and before averaging)"]

    def _width(self, head: str, names: tuple[str, ...]) -> int:
        """Width of a column, by what usually stands in it."""
        if head == "round":
            return max(5, 2 * len(str(self.rounds)) + 1)
        return max(len(head), 5 * len(names) - 1 if head in self.metrics else 5)

    def task_of(self, exchange: int) -> str:
        """Name of an exchange's task; `task` where its opening was not taken in."""
        return self._tasks[exchange].task if exchange in self._tasks else "task"

    def is_masked(self, exchange: int) -> bool:
        """Check if the sums of an exchange are masked."""
        return exchange in self._tasks and bool(self._tasks[exchange].members)

    def _at(self, exchange: int) -> str:
        opened = self._tasks.get(exchange)
        return f"exchange {exchange}" if opened is None else f"round {opened.round_number}, {opened.task}"


def _trained_by_fedavg(plan: Plan) -> frozenset[str]:
    """Tasks whose metrics are known to be of the sites' own models."""
    trains = plan.workflow == "fedavg" and plan.tasks["train"].discloses.update != "none"
    return frozenset({"train"} if trains else ())


def in_order(metrics: Iterable[str]) -> tuple[str, ...]:
    """Names of metrics as they are shown, each once: the loss first."""
    return tuple(sorted(set(metrics), key=lambda name: (name != "loss", name)))


def figure(value: float, digits: int = 3) -> str:
    """A number in a few characters."""
    plain = value == 0 or 0.1**digits <= abs(value) < 1000
    return f"{value:.{digits}f}" if plain else f"{value:.{digits}g}"


def _figures(metrics: ReportedMetrics, names: Iterable[str]) -> str:
    """One site's figures; a dash for each that it did not give."""
    values = given(metrics)
    return "/".join(figure(values[name], 2) if name in values else "-" for name in names)


def _range(sites: Iterable[ReportedMetrics], name: str) -> str:
    """The lowest and the highest of a metric."""
    values = [value for metrics in sites if (value := metrics.get(name)) is not None]
    return f"{figure(min(values))} to {figure(max(values))}" if values else "-"


def _tail(log: str, reason: str) -> list[str]:
    """The end of a log, without the error in its last line where that is the reason."""
    lines = log.splitlines()
    if lines and lines[-1].strip() and lines[-1].strip() in reason:
        lines.pop()
    return [f"  | {line}" for line in lines]


def _told(event: Event) -> list[str]:
    """Events that need no knowledge of those before."""
    match event:
        case RunSubmitted():
            plan = f"plan {event.manifest.plan.name} ({event.plan_digest[:12]})"
            asked = ", ".join(event.invited) or "no site yet"
            return [f"{event.submitted_by} submitted {plan} as run {event.run_id}; asked: {asked}"]
        case SiteInvited():
            return [f"{event.site} is asked too"]
        case PlanAnswered():
            return [f"{event.site} {'accepts' if event.accepted else 'refuses'}: {'; '.join(event.reasons)}"]
        case SiteLeft():
            return [f"{event.site} left: {event.reason}"]
        case RunStarted():
            begins = f"the run begins with {', '.join(event.population)}"
            if not event.absent:
                return [begins]
            has = "has" if len(event.absent) == 1 else "have"
            return [f"{begins}; {named(event.absent)}, which {has} not been connected, may join later"]
        case SuspensionWaived():
            return [f"warning: {event.site} is asked on: {event.reason}"]
        case SiteReinstated():
            if event.by:
                return [f"{event.site} is reinstated by {event.by}; it is asked from the next round on"]
            return [f"{event.site} is reinstated: {event.reason}"]
        case ResultRefused():
            return [f"a result of {event.site} was not taken: {event.reason}"]
        case WorkerRestarted():
            return [f"the workflow's process was started again: {event.reason}"]
        case RunRecovered():
            return ["the aggregator is back; the run continues"]
        case _ if isinstance(event, EvidenceEvent):
            return event_lines(event)
        case AggregatorRestored():
            return [f"warning: the aggregator was restored from a backup, as {_by(event)} acknowledged"]
        case RunResumed():
            return [f"resumed by {event.by}"]
        case RunStopped():
            return [f"stopped by {event.by}: {event.reason}"]
        case RunFailed():
            return [f"failed: {event.reason}"]
        case RunFinished():
            best = "" if event.best_round is None else f"; the best was round {event.best_round}"
            return [f"finished after {event.rounds} round{'s' if event.rounds != 1 else ''}{best}"]
        case _:
            return []


def _by(event: AggregatorRestored) -> str:
    """The operator's name; `hanse audit` checks the signature."""
    try:
        return read_acknowledgement(event.statement)[0].operator
    except ProtocolError:
        return "an operator"
