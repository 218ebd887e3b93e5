"""What time brings about: idle sites, deadlines, exchanges that close, runs that can start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.run.events import Event, Events
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import LeaveOut, Shortfall
from hanse.core.run.round_events import SiteIdle
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed, RunStarted
from hanse.core.run.sum_rules.decide import cells_left_out
from hanse.core.run.sum_rules.evolve import evolve_sum
from hanse.errors import QuorumError


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed.

    Attributes:
        progress_ms: When each (exchange, site) last showed progress, milliseconds since 1970.
        seen_ms: When each site was last in contact, milliseconds since 1970.
    """

    progress_ms: Mapping[tuple[int, str], int] = field(default_factory=dict)
    seen_ms: Mapping[str, int] = field(default_factory=dict)


def tick(run: Run, command: Tick, now_ms: int) -> Events:
    """Sites whose task has shown no progress for the idle limit, or a start without absent sites."""
    if run.phase is Phase.SUBMITTED:
        return _start_without_absent(run, command, now_ms)
    if run.phase is not Phase.RUNNING:
        return ()
    limit_ms = run.plan.cohort.idle_limit * 1000
    found = []
    for exchange in run.open_exchanges():
        for site in exchange.awaited:
            silent_ms = now_ms - _last_sign_ms(exchange, site, command)
            if silent_ms >= limit_ms:
                found.append(SiteIdle(exchange=exchange.number, site=site, silent_s=silent_ms / 1000))
    return tuple(found)


def next_wakeup_ms(run: Run, command: Tick) -> int | None:
    """When the next `Tick` can change something, milliseconds since 1970; None for never.

    Goes over all sites that are awaited: see `hanse.aggregator.run.alarm.Alarm`.
    """
    rules = run.plan.cohort
    if run.phase is Phase.SUBMITTED:
        overdue_ms, absent_ms = approvals_end_ms(run), absent_end_ms(run, command.seen_ms)
        return overdue_ms if absent_ms is None else min(overdue_ms, absent_ms)
    if run.phase is not Phase.RUNNING:
        return None
    times = []
    for exchange in run.open_exchanges():
        times.append(exchange.due_ms(rules))
        for site in exchange.awaited:
            times.append(_last_sign_ms(exchange, site, command) + round(rules.idle_limit * 1000))
    return min(times, default=None)


def needed_to_start(run: Run) -> int:
    """Sites that have to accept the plan for the run to start."""
    return max(run.plan.cohort.minimum, 1)


def approvals_end_ms(run: Run) -> int:
    """When a run that has not started stops waiting for answers to the plan, milliseconds since 1970."""
    return run.clock_ms + round(run.plan.cohort.approvals * 1000)


def absent_end_ms(run: Run, seen_ms: Mapping[str, int]) -> int | None:
    """When a run starts without those that have not been connected since its submission.

    Since its resumption, or the aggregator's return, where that was later: all sites then have the
    whole time again.

    Args:
        run: A run that has not started.
        seen_ms: As for `Tick`.

    Returns:
        Milliseconds since 1970; None where too few sites have accepted, or where the answer of a site
        that has been connected is awaited.
    """
    if not run.unheard or len(run.taking_part) < needed_to_start(run):
        return None
    if any(seen_ms.get(site, -1) >= run.clock_ms for site in run.unheard):
        return None
    return run.clock_ms + round(run.plan.cohort.absent * 1000)


def follow_up_events(run: Run, now_ms: int) -> Events:
    """Events that follow of themselves: a run that can start, exchanges that can close."""
    if run.phase is Phase.SUBMITTED:
        return _settle_start(run, now_ms)
    if run.phase is not Phase.RUNNING:
        return ()
    found: list[Event] = []
    for exchange in run.exchanges.to_settle(now_ms):
        cause = exchange.outcome(run.plan.cohort, now_ms)
        if isinstance(cause, LeaveOut):
            for event in cells_left_out(exchange, overdue=cause.overdue):
                exchange = evolve_sum(run.run_id, exchange, event, now_ms)
                found.append(event)
            cause = exchange.outcome(run.plan.cohort, now_ms)
        if isinstance(cause, Shortfall):
            return (*found, RunFailed(error=QuorumError.code, reason=cause.reason))
        if isinstance(cause, str):
            found.append(run.attendance.close(exchange, cause, run.without, run.plan.cohort))
    return tuple(found)


def _start_without_absent(run: Run, command: Tick, now_ms: int) -> Events:
    end_ms = absent_end_ms(run, command.seen_ms)
    if end_ms is None or now_ms < end_ms:
        return ()
    return (RunStarted(population=run.population, roster=run.stated_roster, absent=run.unanswered),)


def _settle_start(run: Run, now_ms: int) -> Events:
    overdue = now_ms >= approvals_end_ms(run)
    if run.unheard and not overdue:
        return ()
    waiting, accepted, needed = run.unanswered, run.population, needed_to_start(run)
    if len(accepted) >= needed:
        return (RunStarted(population=accepted, roster=run.stated_roster),)
    refused = "".join(f"; {site} refused: {why}" for site, why in sorted(run.refusals.items()))
    if not overdue and not refused:
        return ()  # too few sites are enrolled yet
    silent = f"; no answer from {', '.join(waiting)}" if waiting else ""
    why = f"{len(accepted)} sites accepted the plan, {needed} are needed{refused}{silent}"
    return (RunFailed(error=QuorumError.code, reason=why),)


def _last_sign_ms(exchange: Exchange, site: str, command: Tick) -> int:
    since_ms = exchange.standing_of(site).since_ms if exchange.sums else 0  # others were awaited before
    return max(exchange.clock_ms, since_ms, command.progress_ms.get((exchange.number, site), 0))
