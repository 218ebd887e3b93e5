"""Decisions about a site's word on its task, whenever it arrives."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.run.events import Events
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import ResultRefused, TaskFailed, TaskStarted, UpdateAccepted
from hanse.core.run.run import Phase, Run
from hanse.core.run.sum_rules.checks import check_masked
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.update import ReportedMetrics
from hanse.core.values.wording import in_phase
from hanse.errors import LateResultError, RunError


@dataclass(frozen=True, slots=True)
class StartTask:
    """A site took up its task."""

    exchange: int
    site: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """A site's result, already checked and durable.

    Attributes:
        secure_sum: Where a masked vector belongs, as the statement says it.
        spoken: Signature of the site's instance over the body of the statement.
    """

    exchange: int
    site: str
    num_examples: int
    metrics: ReportedMetrics
    update: str | None
    statement: SignedStatement | None = None
    secure_sum: SumPlace | None = None
    spoken: str | None = None


@dataclass(frozen=True, slots=True)
class FailTask:
    """A site's word that its task failed for good.

    Attributes:
        spoken: Signature of the site's instance over the body of the statement.
    """

    exchange: int
    site: str
    reason: str
    log_tail: str = ""
    statement: SignedStatement | None = None
    spoken: str | None = None


@dataclass(frozen=True, slots=True)
class RefuseResult:
    """A result that must not count; recorded so that it can be asked about later.

    Attributes:
        num_examples: What the answer said, where it was only late; None of any other result.
    """

    exchange: int
    site: str
    error: str
    reason: str
    num_examples: int | None = None


MAX_REFUSALS = 1_000
"""Refused results that are recorded in one run; a hostile site must not fill the disk."""


def start_task(run: Run, command: StartTask) -> Events:
    """Note that a site works; noting it again changes nothing."""
    state = member_state(run, command.exchange, command.site)
    resting = state in (MemberState.ASSIGNED, MemberState.IDLE)
    return (TaskStarted(exchange=command.exchange, site=command.site),) if resting else ()


def accept_result(run: Run, command: AcceptResult) -> Events:
    """Count a result, once."""
    state = member_state(run, command.exchange, command.site)
    exchange = run.exchanges.get(command.exchange)
    masked = exchange is not None and command.site in exchange.cell_by_site
    if state is MemberState.ANSWERED:
        if exchange is not None and masked:
            _check_same(exchange, command)
        return ()  # a retry whose reply was lost: the first one counts
    if exchange is not None and masked:
        check_masked(exchange, command.site, command.secure_sum, signed=command.statement is not None)
    elif command.secure_sum is not None:
        raise RunError(
            f"{command.site} sent a masked vector for exchange {command.exchange}, which has no masked sum"
        )
    if state is MemberState.FAILED:
        raise LateResultError(f"{command.site} reported exchange {command.exchange} as failed before")
    return (
        UpdateAccepted(
            exchange=command.exchange,
            site=command.site,
            num_examples=command.num_examples,
            metrics=dict(command.metrics),
            update=command.update,
            statement=command.statement,
            spoken=command.spoken,
        ),
    )


def _check_same(exchange: Exchange, command: AcceptResult) -> None:
    """Refuse a second, different masked vector for one roster: the two would give a difference away."""
    standing, place = exchange.standing_of(command.site), command.secure_sum
    here = standing.masked.get(command.site)
    same_roster = place is None or place.rho == standing.rho
    if same_roster and here is not None and here != (command.update or ""):
        raise RunError(f"{command.site} has sent another masked vector for this roster before")


def fail_task(run: Run, command: FailTask) -> Events:
    """Note that a site gave its task up; noting it again changes nothing."""
    state = member_state(run, command.exchange, command.site)
    if state in (MemberState.ANSWERED, MemberState.FAILED):
        return ()
    return (
        TaskFailed(
            exchange=command.exchange,
            site=command.site,
            reason=command.reason,
            log_tail=command.log_tail,
            statement=command.statement,
            spoken=command.spoken,
        ),
    )


def refuse_result(run: Run, command: RefuseResult) -> Events:
    """Record a result that does not count, under the round that it was meant for.

    A first late answer is recorded always, for there can be no more of those than were asked for.
    """
    late = command.num_examples is not None and run.attendance.awaits(command.exchange, command.site)
    if run.refused_results >= MAX_REFUSALS and not late:
        return ()
    known = run.exchanges.get(command.exchange) or run.attendance.closed.get(command.exchange)
    return (
        ResultRefused(
            exchange=command.exchange,
            site=command.site,
            error=command.error,
            reason=command.reason,
            round_number=None if known is None else known.round_number,
            num_examples=command.num_examples if late else None,
        ),
    )


def member_state(run: Run, number: int, site: str) -> MemberState:
    """Where a site stands in an exchange, if its word on it still counts.

    Raises:
        LateResultError: The exchange is over, and the site had not answered it.
        RunError: There is no such exchange, or the site was not asked in it.
    """
    if run.accepted.get(site) == number:
        return MemberState.ANSWERED  # whatever has happened since: its reply was lost
    if run.phase is not Phase.RUNNING:
        raise LateResultError(f"run {run.run_id} {in_phase(run.phase)}; results are no longer taken")
    if number > run.last_exchange:
        raise RunError(f"run {run.run_id} has no exchange {number}")
    exchange = run.exchanges.get(number)
    if exchange is None:
        raise LateResultError(f"exchange {number} of run {run.run_id} is over; {site} joins the next round")
    if site not in exchange.members:
        raise RunError(f"{site} was not asked in exchange {number} of run {run.run_id}")
    state = exchange.members[site].state
    if exchange.closed is not None and state is not MemberState.ANSWERED:
        raise LateResultError(
            f"exchange {number} of run {run.run_id} closed ({exchange.closed}) before {site} answered; "
            f"it joins the next round"
        )
    return state
