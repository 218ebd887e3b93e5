"""Evolution of a run: its state as a fold over its events.

`evolve` applies one event. Which events a phase allows, and where they lead,
is one table; the diagram in the documentation is drawn from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hanse.core.run.events import Event, OtherEvent
from hanse.core.run.evidence.events import EvidenceEvent
from hanse.core.run.evidence_rules.evolve import EVIDENCE_PHASES, evolve_evidence
from hanse.core.run.exchange import Exchange, asked_again, move, restart
from hanse.core.run.exchange_protocol import protocol_of
from hanse.core.run.exchanges import Exchanges
from hanse.core.run.resume import RoundOnResume, answered_by_none, same_keys, surviving_exchanges
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
from hanse.core.run.run import Phase, Run, absence, committed
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
from hanse.core.run.sum_rules.checks import check_cells
from hanse.core.run.sum_rules.evolve import (
    SumEvent,
    cells_asked_again,
    check_accepted,
    evolve_sum,
    starting,
    taken_up,
)
from hanse.core.run.sum_rules.unasked import unasked_cells
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.values.sorted_map import SortedMap, SortedSet
from hanse.errors import TamperedError

_OfExchange = (
    TaskStarted | SiteIdle | UpdateAccepted | TaskFailed | SumEvent | ExchangeClosed | UpdatesAggregated
)

_ALIVE = (Phase.SUBMITTED, Phase.RUNNING)

_ENDED_EARLY = (Phase.FAILED, Phase.STOPPED)


def _stay(*phases: Phase) -> dict[Phase, Phase]:
    return {phase: phase for phase in phases}


PHASE_TABLE: Mapping[type[Event], Mapping[Phase, Phase]] = {
    SiteInvited: _stay(*_ALIVE, *_ENDED_EARLY),
    PlanAnswered: _stay(*_ALIVE),
    SiteLeft: _stay(*_ALIVE),
    RunStarted: {Phase.SUBMITTED: Phase.RUNNING},
    **EVIDENCE_PHASES,
    RoundOpened: _stay(Phase.RUNNING),
    ExchangeOpened: _stay(Phase.RUNNING),
    TaskStarted: _stay(Phase.RUNNING),
    SiteIdle: _stay(Phase.RUNNING),
    UpdateAccepted: _stay(Phase.RUNNING),
    TaskFailed: _stay(Phase.RUNNING),
    ResultRefused: _stay(*Phase),
    SiteReady: _stay(Phase.RUNNING),
    SumAttempted: _stay(Phase.RUNNING),
    CellLeftOut: _stay(Phase.RUNNING),
    ExchangeClosed: _stay(Phase.RUNNING),
    SumOpened: _stay(Phase.RUNNING),
    UpdatesAggregated: _stay(Phase.RUNNING),
    RoundCommitted: _stay(Phase.RUNNING),
    SiteSuspended: _stay(Phase.RUNNING),
    SuspensionWaived: _stay(Phase.RUNNING),
    SiteReinstated: _stay(*_ALIVE),
    WorkerRestarted: _stay(Phase.RUNNING),
    RunRecovered: _stay(*_ALIVE),
    AggregatorRestored: _stay(*Phase),
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
            raise TamperedError(f"{run.short_name} is submitted twice in its journal")
        return _submitted(event, time_ms)
    if run is None:
        raise TamperedError(f"a run's journal begins with {event.kind}, not with RunSubmitted")
    phase = PHASE_TABLE[type(event)].get(run.phase)
    if phase is None:
        raise TamperedError(f"{run.short_name}: the journal has {event.kind} while the run is {run.phase}")
    run = run if phase is run.phase else replace(run, phase=phase)
    if isinstance(event, EvidenceEvent):
        return evolve_evidence(run, event, time_ms)
    run = _apply(run, event, time_ms)
    exchanges = run.exchanges.refresh(time_ms, run.plan.cohort)
    return run if exchanges is run.exchanges else replace(run, exchanges=exchanges)


def _submitted(event: RunSubmitted, time_ms: int) -> Run:
    invited = SortedSet(event.invited)
    return Run(
        run_id=event.run_id,
        manifest=event.manifest,
        plan_digest=event.plan_digest,
        submitted_by=event.submitted_by,
        submitted_ms=time_ms,
        clock_ms=time_ms,
        invited=invited,
        unheard=invited,
        members=event.members,
        chosen=event.chosen,
    )


def _apply(run: Run, event: OtherEvent, time_ms: int) -> Run:
    match event:
        case RunSubmitted():
            raise AssertionError("handled by evolve")
        case SiteInvited():
            return _invited(run, event.site, time_ms)
        case PlanAnswered():
            return _answered(run, event, time_ms)
        case SiteLeft():
            return _departed(run, event, time_ms)
        case RunStarted():
            # For the second time where a resumed run had to wait for sites to agree.
            return _taken_up(run, event, time_ms) if run.started else replace(run, started=True)
        case RoundOpened():
            run = replace(run, round_open=event.round_number, cohort=event.cohort)
            run = replace(run, round_population=event.population)
            return replace(run, without=event.suspended, excused=frozenset())
        case ExchangeOpened():
            return _opened(run, event, time_ms)
        case TaskStarted() | SiteIdle() | UpdateAccepted() | TaskFailed():
            return _moved(run, event, time_ms)
        case SiteReady() | SumAttempted() | CellLeftOut() | SumOpened():
            return _sum_moved(run, event, time_ms)
        case ResultRefused():
            refused = run.refused_results + (event.num_examples is None)  # a late answer is none of those
            return replace(run, refused_results=refused, attendance=run.attendance.refused(event))
        case ExchangeClosed():
            return _closed(run, event)
        case UpdatesAggregated():
            return _put(run, replace(_exchange(run, event), aggregated=True))
        case RoundCommitted():
            return committed(run, event)
        case SiteSuspended():
            absent = run.absent | {event.site} if run.exchanges.waiting_with(event.site) else run.absent
            return replace(run, failure_record=run.failure_record.suspend(event, time_ms), absent=absent)
        case SuspensionWaived() | SiteReinstated():
            # Waited for again too: it is asked so that it can show that it works.
            quiet = run.quiet.without(event.site) if isinstance(event, SiteReinstated) else run.quiet
            return replace(run, failure_record=run.failure_record.fresh(event.site), quiet=quiet)
        case WorkerRestarted():
            return replace(run, restarts=run.restarts + 1)
        case RunRecovered():
            return _restarted(run, event, time_ms)
        case RunResumed():
            resumed = replace(run, reason="", error="", ended_ms=None, restarts=0, clock_ms=time_ms)
            if run.started and len(run.taking_part) >= max(run.plan.cohort.minimum, 1):
                return _taken_up(resumed, event, time_ms)
            # With too few it waits for answers as before its start; who refused is asked anew.
            answers = SortedMap({site: True for site, yes in run.answers.items() if yes})
            unheard = SortedSet(s for s in run.invited if s not in answers and s not in run.left)
            resumed = replace(resumed, phase=Phase.SUBMITTED, answers=answers, unheard=unheard)
            return replace(resumed, refusals=SortedMap())
        case AggregatorRestored():
            return replace(run, restored=event.record)
        case RunStopped() | RunFailed():
            error = event.error if isinstance(event, RunFailed) else ""
            return replace(run, reason=event.reason, error=error, ended_ms=time_ms)
        case RunFinished():
            return replace(run, ended_ms=time_ms, round_open=None, exchanges=Exchanges(), earlier=())


def _departed(run: Run, event: SiteLeft, time_ms: int) -> Run:
    gone = replace(
        run,
        left=run.left.set(event.site, event.reason),
        taking_part=run.taking_part.without(event.site),
        roster=run.roster.without(event.site),
        unsigned=run.unsigned.without(event.site),
        unheard=run.unheard.without(event.site),
        failure_record=run.failure_record.fresh(event.site),
    )
    return _without_the_absent(gone, (event.site,), time_ms)


def _closed(run: Run, event: ExchangeClosed) -> Run:
    closed = replace(_exchange(run, event), closed=event.cause)
    attendance = run.attendance.closed_with(closed, event, unasked_cells(run, closed))
    return replace(_put(run, closed), attendance=attendance)


def _opened(run: Run, event: ExchangeOpened, time_ms: int) -> Run:
    check_cells(run.plan, event)
    before = next((e for e in run.earlier if e.number == event.exchange), None)
    if before is not None:
        return _reopened(run, before, event, time_ms)
    if event.exchange != run.last_exchange + 1:
        raise TamperedError(
            f"{run.short_name}: the journal has exchange {event.exchange} "
            f"where {run.last_exchange + 1} is next"
        )
    exchange = Exchange.opened(event, protocol_of(run.plan, event.task), run.quiet, time_ms)
    exchange = starting(exchange, run.summed)
    if event.roster is not None:
        exchange = replace(exchange, roster=run.roster)
    opened = replace(_put(run, exchange), last_exchange=event.exchange)
    if event.index < 0:
        counted = {(event.task, s): 1 + run.streamed.get((event.task, s), 0) for s in event.cohort}
        opened = replace(opened, streamed=run.streamed.update(counted))
    return _without_the_absent(opened, event.cohort, time_ms)


def _reopened(run: Run, before: Exchange, event: ExchangeOpened, time_ms: int) -> Run:
    asked = (event.round_number, event.task, event.model, event.inputs)
    if asked != (before.round_number, before.task, before.model, before.inputs):
        raise TamperedError(
            f"{run.short_name}: the journal asks something else under the number of exchange {event.exchange}"
        )
    again = asked_again(before, event, run.quiet, time_ms)
    if before.sums and again.closed is None:
        fresh = starting(Exchange.opened(event, before.protocol, run.quiet, time_ms), run.summed)
        again = cells_asked_again(before, fresh, run.roster, time_ms)
    if again.closed is None and event.roster is not None:
        again = replace(again, roster=run.roster)
    earlier = tuple(exchange for exchange in run.earlier if exchange is not before)
    return _without_the_absent(replace(_put(run, again), earlier=earlier), again.members, time_ms)


def _moved(run: Run, event: TaskStarted | SiteIdle | UpdateAccepted | TaskFailed, time_ms: int) -> Run:
    idle, accepted = isinstance(event, SiteIdle), run.accepted
    quiet = run.quiet.including(event.site) if idle else run.quiet.without(event.site)
    exchange = _exchange(run, event)
    if isinstance(event, UpdateAccepted):
        check_accepted(exchange, event)
    moved = move(exchange, event, event.site, time_ms)
    if isinstance(event, UpdateAccepted):
        for site in _counting(moved, event.site):
            accepted = accepted.set(site, event.exchange)
    exchanges = run.exchanges.put(moved, run.plan.cohort)
    return replace(run, quiet=quiet, accepted=accepted, exchanges=exchanges)


def _counting(exchange: Exchange, site: str) -> tuple[str, ...]:
    """Sites whose result counts from now on: of a cell none before it is complete, as it may try again."""
    if site not in exchange.cell_by_site:
        return (site,)
    standing = exchange.standing_of(site)
    return standing.members if standing.complete else ()


def _sum_moved(run: Run, event: SumEvent, time_ms: int) -> Run:
    changed = evolve_sum(run.run_id, _exchange(run, event), event, time_ms)
    moved = _put(run, changed)
    if isinstance(event, SumOpened):
        return replace(moved, summed=run.summed.set(event.cell, event.exchange))
    if isinstance(event, SiteReady):
        return replace(moved, quiet=run.quiet.without(event.site))
    if not isinstance(event, SumAttempted):
        return moved
    return _without_the_absent(moved, changed.sums[event.cell].members, time_ms)


def _exchange(run: Run, event: _OfExchange) -> Exchange:
    exchange = run.exchanges.get(event.exchange)
    if exchange is None:
        raise TamperedError(
            f"{run.short_name}: the journal has {event.kind} of exchange {event.exchange}, which there is not"
        )
    return exchange


def _put(run: Run, exchange: Exchange) -> Run:
    return replace(run, exchanges=run.exchanges.put(exchange, run.plan.cohort))


def _invited(run: Run, site: str, time_ms: int) -> Run:
    # Whoever comes back does so with another key, and has agreed to nothing with it.
    invited = replace(
        run,
        failure_record=run.failure_record.fresh(site),
        attendance=run.attendance.forget(site),
        invited=run.invited.including(site),
        left=run.left.without(site),
        answers=run.answers.without(site),
        refusals=run.refusals.without(site),
        taking_part=run.taking_part.without(site),
        roster=run.roster.without(site),
        unsigned=run.unsigned.without(site),
        unheard=run.unheard.including(site),
        absent=run.absent | {site} if run.exchanges.waiting_with(site) else run.absent,
    )
    # Until it has agreed with its new key, it is asked nothing.
    return _without_the_absent(invited, (site,), time_ms) if site in run.taking_part else invited


def _answered(run: Run, event: PlanAnswered, time_ms: int) -> Run:
    site, refusals = event.site, run.refusals.without(event.site)
    if not event.accepted:
        refusals = refusals.set(site, "; ".join(event.reasons) or "no reason given")
    takes_part = event.accepted and site not in run.left
    roster, unsigned = run.roster.without(site), run.unsigned.without(site)
    if takes_part and event.signer is not None:
        roster = run.roster.including(site, event.signer)
    elif takes_part and event.statement is not None:  # of before 0.2
        unsigned = run.unsigned.including(site)
    answered = replace(
        run,
        answers=run.answers.set(site, event.accepted),
        refusals=refusals,
        taking_part=run.taking_part.including(site) if takes_part else run.taking_part.without(site),
        roster=roster,
        unsigned=unsigned,
        unheard=run.unheard.without(site),
    )
    # Consent can be withdrawn while the run is under way.
    return answered if event.accepted else _without_the_absent(answered, (site,), time_ms)


def _without_the_absent(run: Run, sites: Iterable[str], time_ms: int) -> Run:
    """Have open exchanges no longer wait for those of these sites that take no part; others are as they were.

    A workflow may still name a site that takes no part any more.
    """
    for site in {*sites, *run.absent} if run.absent else sites:
        reason = absence(run, site)
        if reason is None:
            continue
        gone = SiteLeft(site=site, reason=reason)
        for exchange in run.exchanges.waiting_with(site):
            run = _put(run, move(exchange, gone, site, time_ms))
    return replace(run, absent=frozenset()) if run.absent else run


def _taken_up(run: Run, event: RunStarted | RunResumed, time_ms: int) -> Run:
    """Go on where the run ended early, with those who take part now."""
    standing: tuple[Exchange, ...] = ()
    if all(same_keys(run.roster, run.taking_part, exchange) for exchange in run.in_round()):
        standing = surviving_exchanges(
            run.in_round(), RoundOnResume(run.cohort, run.taking_part, len(run.without), run.plan.cohort)
        )
    kept = (
        *standing,
        *(e for e in run.stream() if not answered_by_none(e) and same_keys(run.roster, run.taking_part, e)),
    )
    stand = {exchange.number for exchange in kept}
    earlier = (*run.earlier, *(e for e in run.exchanges.values() if e.number not in stand))
    excused = frozenset(site for site in run.cohort if site not in run.taking_part)
    run = replace(run, exchanges=Exchanges.of(kept, run.plan.cohort), earlier=earlier, excused=excused)
    if not standing:
        run = replace(run, cohort=(), round_open=None, excused=frozenset(), without=())
    return _restarted(run, event, time_ms)


def _restarted(run: Run, event: RunStarted | RunRecovered | RunResumed, time_ms: int) -> Run:
    before = list(run.exchanges.values())
    if not isinstance(event, RunRecovered):
        before = [taken_up(exchange, time_ms) for exchange in before]
    exchanges = Exchanges.of((restart(exchange, event, time_ms) for exchange in before), run.plan.cohort)
    again = replace(run, clock_ms=time_ms, exchanges=exchanges, quiet=SortedSet())
    members = {site for exchange in exchanges.waiting() for site in exchange.members}
    return _without_the_absent(again, members, time_ms)
