"""What time brings about: idle sites, deadlines, exchanges that close, runs that can start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.run.events import Event, Events
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import Shortfall
from hanse.core.run.round_events import SiteIdle
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import RunFailed, RunStarted
from hanse.errors import QuorumError


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed.

    Attributes:
        progress_ms: When each (exchange, site) last showed progress, milliseconds since 1970.
    """

    progress_ms: Mapping[tuple[int, str], int] = field(default_factory=dict)


def tick(run: Run, command: Tick, now_ms: int) -> Events:
    """Sites of open exchanges whose task has shown no progress for the idle limit."""
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
        return run.clock_ms + round(rules.approvals * 1000)
    if run.phase is not Phase.RUNNING:
        return None
    times = []
    for exchange in run.open_exchanges():
        times.append(exchange.due_ms(rules))
        for site in exchange.awaited:
            times.append(_last_sign_ms(exchange, site, command) + round(rules.idle_limit * 1000))
    return min(times, default=None)


def follow_up_events(run: Run, now_ms: int) -> Events:
    """Events that follow of themselves: a run that can start, exchanges that can close."""
    if run.phase is Phase.SUBMITTED:
        return _settle_start(run, now_ms)
    if run.phase is not Phase.RUNNING:
        return ()
    found: list[Event] = []
    for exchange in run.exchanges.to_settle(now_ms):
        cause = exchange.outcome(run.plan.cohort, now_ms)
        if isinstance(cause, Shortfall):
            return (*found, RunFailed(error=QuorumError.code, reason=cause.reason))
        if cause is not None:
            found.append(run.attendance.close(exchange, cause, run.without, run.plan.cohort))
    return tuple(found)


def _settle_start(run: Run, now_ms: int) -> Events:
    overdue = now_ms >= run.clock_ms + run.plan.cohort.approvals * 1000
    if run.unheard and not overdue:
        return ()
    waiting, accepted, minimum = run.unanswered, run.population, run.plan.cohort.minimum
    if len(accepted) >= minimum and accepted:
        return (RunStarted(population=accepted, roster=run.stated_roster),)
    refused = "".join(f"; {site} refused: {why}" for site, why in sorted(run.refusals.items()))
    if not overdue and not refused:
        return ()  # too few sites are enrolled yet
    silent = f"; no answer from {', '.join(waiting)}" if waiting else ""
    why = f"{len(accepted)} sites accepted the plan, {max(minimum, 1)} are needed{refused}{silent}"
    return (RunFailed(error=QuorumError.code, reason=why),)


def _last_sign_ms(exchange: Exchange, site: str, command: Tick) -> int:
    return max(exchange.clock_ms, command.progress_ms.get((exchange.number, site), 0))
