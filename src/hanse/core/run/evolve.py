"""Evolution of a run: its state as a fold over its events.

`evolve` applies one event. Which events a phase allows, and where they lead,
is one table; the diagram in the documentation is drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from hanse.core.plan.goals import Best, improves
from hanse.core.run.events import Event
from hanse.core.run.exchange import Exchange, move, restart
from hanse.core.run.resume import ResumeContext, answered_by_none, surviving_exchanges
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundCommitted,
    RoundOpened,
    SiteIdle,
    TaskFailed,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Phase, Run
from hanse.core.run.run_events import (
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
from hanse.errors import TamperedError

T = TypeVar("T")

_ALIVE = (Phase.SUBMITTED, Phase.RUNNING)

_ENDED_EARLY = (Phase.FAILED, Phase.STOPPED)


def _stay(*phases: Phase) -> dict[Phase, Phase]:
    return {phase: phase for phase in phases}


PHASE_TABLE: Mapping[type[Event], Mapping[Phase, Phase]] = {
    SiteInvited: _stay(*_ALIVE),
    PlanAnswered: _stay(*_ALIVE),
    SiteLeft: _stay(*_ALIVE),
    RunStarted: {Phase.SUBMITTED: Phase.RUNNING},
    RoundOpened: _stay(Phase.RUNNING),
    ExchangeOpened: _stay(Phase.RUNNING),
    TaskStarted: _stay(Phase.RUNNING),
    SiteIdle: _stay(Phase.RUNNING),
    UpdateAccepted: _stay(Phase.RUNNING),
    TaskFailed: _stay(Phase.RUNNING),
    ResultRefused: _stay(*Phase),
    ExchangeClosed: _stay(Phase.RUNNING),
    UpdatesAggregated: _stay(Phase.RUNNING),
    RoundCommitted: _stay(Phase.RUNNING),
    SiteSuspended: _stay(Phase.RUNNING),
    SuspensionWaived: _stay(Phase.RUNNING),
    SiteReinstated: _stay(*_ALIVE),
    WorkerRestarted: _stay(Phase.RUNNING),
    RunRecovered: _stay(*_ALIVE),
    # `evolve` sends a run that never started, or that has too few sites left, to SUBMITTED.
    RunResumed: dict.fromkeys(_ENDED_EARLY, Phase.RUNNING),
    RunStopped: dict.fromkeys((*_ALIVE, Phase.FAILED), Phase.STOPPED),
    RunFailed: dict.fromkeys(_ALIVE, Phase.FAILED),
    RunFinished: {Phase.RUNNING: Phase.FINISHED},
}
"""Next phase by event and present phase; an event that is not listed for a phase cannot happen in it."""


def evolve(run: Run | None, event: Event, time_ms: int) -> Run:
    """Apply one event.

    Raises:
        TamperedError: The event cannot follow; no run of ours writes such a journal.
    """
    if isinstance(event, RunSubmitted):
        if run is not None:
            raise TamperedError(f"{_named(run)} is submitted twice in its journal")
        return _submitted(event, time_ms)
    if run is None:
        raise TamperedError(f"a run's journal begins with {event.kind}, not with RunSubmitted")
    phase = PHASE_TABLE[type(event)].get(run.phase)
    if phase is None:
        raise TamperedError(f"{_named(run)}: the journal has {event.kind} while the run is {run.phase}")
    return _apply(run if phase is run.phase else replace(run, phase=phase), event, time_ms)


def _named(run: Run) -> str:
    return f"run {run.run_id[:100]}"  # a forged journal may name it by a megabyte


def _submitted(event: RunSubmitted, time_ms: int) -> Run:
    return Run(
        run_id=event.run_id,
        manifest=event.manifest,
        plan_digest=event.plan_digest,
        submitted_by=event.submitted_by,
        submitted_ms=time_ms,
        clock_ms=time_ms,
        invited=tuple(sorted(event.invited)),
    )


def _apply(run: Run, event: Event, time_ms: int) -> Run:
    match event:
        case RunSubmitted():
            raise AssertionError("handled by evolve")
        case SiteInvited():
            return _invited(run, event.site)
        case PlanAnswered():
            return _answered(run, event, time_ms)
        case SiteLeft():
            left = {**run.left, event.site: event.reason}
            return _without_the_gone(
                replace(run, left=left, failure_record=run.failure_record.fresh(event.site)), time_ms
            )
        case RunStarted():
            # For the second time where a resumed run had to wait for sites to agree.
            return _taken_up(run, event, time_ms) if run.started else replace(run, started=True)
        case RoundOpened():
            run = replace(run, round_open=event.round_number, cohort=event.cohort)
            return replace(run, without=event.suspended, excused=frozenset())
        case ExchangeOpened():
            opened = _put(run, Exchange.opened(event, run.quiet, time_ms))
            return _without_the_gone(replace(opened, last_exchange=event.exchange), time_ms)
        case TaskStarted() | SiteIdle() | UpdateAccepted() | TaskFailed():
            heard = {event.site}
            quiet = run.quiet | heard if isinstance(event, SiteIdle) else run.quiet - heard
            moved = move(_exchange(run, event), event, event.site, time_ms)
            counted = {event.site: event.exchange} if isinstance(event, UpdateAccepted) else {}
            return _put(replace(run, quiet=quiet, accepted={**run.accepted, **counted}), moved)
        case ResultRefused():
            refused = run.refused_results + (event.num_examples is None)  # a late answer is none of those
            return replace(run, refused_results=refused, attendance=run.attendance.refused(event))
        case ExchangeClosed():
            closed = replace(_exchange(run, event), closed=event.cause)
            return replace(_put(run, closed), attendance=run.attendance.closed_with(closed, event))
        case UpdatesAggregated():
            return _put(run, replace(_exchange(run, event), aggregated=True))
        case RoundCommitted():
            return _committed(run, event)
        case SiteSuspended():
            return replace(run, failure_record=run.failure_record.suspend(event, time_ms))
        case SuspensionWaived() | SiteReinstated():
            # Waited for again too: it is asked so that it can show that it works.
            quiet = run.quiet - {event.site} if isinstance(event, SiteReinstated) else run.quiet
            return replace(run, failure_record=run.failure_record.fresh(event.site), quiet=quiet)
        case WorkerRestarted():
            return replace(run, restarts=run.restarts + 1)
        case RunRecovered():
            return _restarted(run, event, time_ms)
        case RunResumed():
            resumed = replace(run, reason="", restarts=0, clock_ms=time_ms)
            if run.started and len(run.population) >= max(run.plan.cohort.minimum, 1):
                return _taken_up(resumed, event, time_ms)
            # With too few it waits for answers as before its start; who refused is asked anew.
            accepted = dict.fromkeys((site for site, yes in run.answers.items() if yes), True)
            return replace(resumed, phase=Phase.SUBMITTED, answers=accepted, refusals={})
        case RunStopped() | RunFailed():
            return replace(run, reason=event.reason)
        case RunFinished():
            return replace(run, round_open=None, exchanges={})


def _exchange(
    run: Run, event: TaskStarted | SiteIdle | UpdateAccepted | TaskFailed | ExchangeClosed | UpdatesAggregated
) -> Exchange:
    exchange = run.exchanges.get(event.exchange)
    if exchange is None:
        raise TamperedError(
            f"{_named(run)}: the journal has {event.kind} of exchange {event.exchange}, which there is not"
        )
    return exchange


def _put(run: Run, exchange: Exchange) -> Run:
    return replace(run, exchanges={**run.exchanges, exchange.number: exchange})


def _invited(run: Run, site: str) -> Run:
    # Whoever comes back does so with another key, and has agreed to nothing with it.
    return replace(
        run,
        failure_record=run.failure_record.fresh(site),
        attendance=run.attendance.forget(site),
        invited=tuple(sorted({*run.invited, site})),
        left=_others(run.left, site),
        answers=_others(run.answers, site),
        refusals=_others(run.refusals, site),
    )


def _others(by_site: Mapping[str, T], site: str) -> dict[str, T]:
    return {name: value for name, value in by_site.items() if name != site}


def _answered(run: Run, event: PlanAnswered, time_ms: int) -> Run:
    reason = "; ".join(event.reasons) or "no reason given"
    refusals = _others(run.refusals, event.site)
    answered = replace(run, answers={**run.answers, event.site: event.accepted}, refusals=refusals)
    if event.accepted:
        return answered
    # Consent can be withdrawn while the run is under way.
    return _without_the_gone(replace(answered, refusals={**refusals, event.site: reason}), time_ms)


def _without_the_gone(run: Run, time_ms: int) -> Run:
    """Have open exchanges wait for nobody who takes no part (any more): a workflow may still name them."""
    refused = {site: f"refused the plan: {reason}" for site, reason in run.refusals.items()}
    suspensions = {
        site: f"suspended: {found.reason}" for site, found in run.failure_record.suspensions.items()
    }
    reasons, there = {**suspensions, **refused, **run.left}, set(run.population) - suspensions.keys()
    for exchange in run.open_exchanges():
        for site in exchange.members.keys() - there:
            gone = SiteLeft(site=site, reason=reasons.get(site, "has yet to answer the plan"))
            exchange = move(exchange, gone, site, time_ms)
        run = _put(run, exchange)
    return run


def _taken_up(run: Run, event: RunStarted | RunResumed, time_ms: int) -> Run:
    """Go on where the run ended early, with those who take part now."""
    standing = surviving_exchanges(
        run.in_round(), ResumeContext(run.cohort, run.population, len(run.without), run.plan.cohort)
    )
    kept = (*standing, *(e for e in run.stream() if not answered_by_none(e)))
    run = replace(run, exchanges={e.number: e for e in kept}, excused={*run.cohort} - {*run.population})
    if not standing:
        run = replace(run, cohort=(), round_open=None, excused=frozenset(), without=())
    return _restarted(run, event, time_ms)


def _restarted(run: Run, event: RunStarted | RunRecovered | RunResumed, time_ms: int) -> Run:
    exchanges = {number: restart(e, event, time_ms) for number, e in run.exchanges.items()}
    again = replace(run, clock_ms=time_ms, exchanges=exchanges, quiet=frozenset())
    return _without_the_gone(again, time_ms)


def _committed(run: Run, event: RoundCommitted) -> Run:
    # What a stream has not consumed yet goes on; everything else of the round is over.
    going = {e.number: e for e in run.stream() if e.number not in event.consumed}
    over = [*run.in_round(), *(e for e in run.stream() if e.number in event.consumed)]
    best = run.best
    if event.best and run.plan.keep_best is not None:
        value = event.metrics.get(run.plan.keep_best.metric)
        if value is None:
            raise TamperedError(
                f"{_named(run)}: by the journal round {event.round_number} is the best, and it lacks the "
                f"metric {run.plan.keep_best.metric} to compare by"
            )
        best = Best(value, event.round_number, event.model)
    stop_best = run.stop_best
    rule = run.plan.early_stop
    if rule is not None and rule.metric in event.metrics:
        value = event.metrics[rule.metric]
        if improves(rule, value, stop_best, rule.min_delta):
            stop_best = Best(value, event.round_number, event.model)
    return replace(
        run,
        round_open=None,
        cohort=(),
        excused=frozenset(),
        committed=event.round_number,
        model=event.model,
        state=event.state,
        metrics=event.metrics,
        best=best,
        stop_best=stop_best,
        exchanges=going,
        restarts=0,
        failure_record=run.failure_record.after(over, run.population),
        without=(),
    )
