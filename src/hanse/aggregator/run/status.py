"""A run as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.run import Phase, Run
from hanse.core.run.sum_rules.unasked import unasked_cells
from hanse.core.run.sums.standing import CellStanding
from hanse.core.run.suspension import reinstatement_ms, reinstatement_round
from hanse.core.run.timing import absent_end_ms, approvals_end_ms, needed_to_start
from hanse.core.values.wording import shortened
from hanse.wire.messages.runs import (
    AwaitedSite,
    CellStatus,
    ExchangeAttendance,
    RunStatus,
    StartWait,
    SuspendedSite,
)

CONTACT_MS = 120_000
"""A site that was heard of within this time counts as connected; a long poll is shorter."""


MOST_ANSWERS = 2_000
"""Sites whose answer to the plan a status names, which has to fit into a message; the journal names all."""
MOST_AWAITED = 500
"""Sites that a status names as awaited."""
MOST_CELLS = 100
"""Cells of masked sums that a status names."""
MOST_SUSPENDED = 100
"""Suspended sites that a status names."""
MOST_EXCHANGES = 8
"""Closed exchanges of which a status says who took part."""
MOST_ABSENT = 25
"""Absent sites that a status names of an exchange; see `ExchangeAttendance.of`."""
_LONGEST_REASON = 8_192


def status_of(run: Run, events: int, seen_ms: Mapping[str, int], now_ms: int) -> RunStatus:
    """A run as an operator sees it: where it stands and for whom it waits.

    Args:
        run: The run.
        events: Number of its last journal record.
        seen_ms: When each site was last in contact.
        now_ms: The time, milliseconds since 1970.
    """
    return RunStatus(
        run_id=run.run_id,
        plan_name=run.plan.name,
        plan_digest=run.plan_digest,
        phase=run.phase.value,
        error=run.error,
        reason=run.reason[:_LONGEST_REASON],
        rounds=run.plan.rounds,
        rounds_committed=max(run.committed, 0),
        round_open=run.round_open,
        submitted_by=run.submitted_by,
        submitted_ms=run.submitted_ms,
        population=len(run.population),
        answers={site: _answer(run, site) for site in islice(run.invited, MOST_ANSWERS)},
        answer_counts=_counts(run),
        start=_start(run, seen_ms, now_ms),
        awaited=tuple(islice(_awaited(run, seen_ms, now_ms), MOST_AWAITED)),
        cells=tuple(islice(_cells(run), MOST_CELLS)),
        model=run.model,
        best_round=run.best.round_number if run.best else None,
        best_model=run.best.model if run.best else None,
        metrics=dict(run.metrics),
        results=dict(run.results),
        attendance=_attendance(run),
        short_rounds=run.attendance.short_rounds,
        suspended=_suspended(run),
        events=events,
    )


def _answer(run: Run, site: str) -> str:
    """Answer of a site to the plan, in a word."""
    if site in run.left:
        return "left"
    accepted = run.answers.get(site)
    return "awaited" if accepted is None else "accepted" if accepted else "refused"


def _counts(run: Run) -> dict[str, int]:
    counts = {"accepted": len(run.taking_part), "awaited": len(run.unheard), "left": len(run.left)}
    counts["refused"] = len(run.invited) - sum(counts.values())
    return {word: count for word, count in sorted(counts.items()) if count}


def _attendance(run: Run) -> tuple[ExchangeAttendance, ...]:
    """The exchanges of the last round committed and of the open one; of a stream, the last few."""
    rounds = (run.committed, run.round_open)
    last = [found for found in run.attendance.closed.values() if found.round_number in rounds]
    return tuple(ExchangeAttendance.of(found, MOST_ABSENT) for found in last[-MOST_EXCHANGES:])


def _suspended(run: Run) -> tuple[SuspendedSite, ...]:
    return tuple(
        SuspendedSite(
            site=site,
            reason=found.reason,
            round_number=found.round_number,
            since_ms=found.since_ms,
            reinstatement_round=reinstatement_round(run, site),
            reinstatement_ms=reinstatement_ms(run, site),
        )
        for site, found in islice(run.failure_record.suspensions.items(), MOST_SUSPENDED)
    )


def _start(run: Run, seen_ms: Mapping[str, int], now_ms: int) -> StartWait | None:
    """Acceptances that a run waits for before it starts; None once it has."""
    if run.phase is not Phase.SUBMITTED:
        return None
    since_ms = min(run.clock_ms, now_ms - CONTACT_MS + 1)
    absent = [site for site in run.unheard if seen_ms.get(site, -1) < since_ms]
    return StartWait(
        accepted=len(run.taking_part),
        needed=needed_to_start(run),
        asked=len(run.invited) - len(run.left),
        unanswered=len(run.unheard),
        until_ms=approvals_end_ms(run),
        absent=tuple(absent[:MOST_ABSENT]),
        absent_count=len(absent),
        absent_until_ms=run.clock_ms + round(run.plan.cohort.absent * 1000),
    )


def _awaited(run: Run, seen_ms: Mapping[str, int], now_ms: int) -> Iterator[AwaitedSite]:
    def connected(site: str) -> bool:
        return site in seen_ms and now_ms - seen_ms[site] < CONTACT_MS

    if run.phase is Phase.SUBMITTED:
        absent = absent_end_ms(run, seen_ms)
        until = approvals_end_ms(run) if absent is None else min(approvals_end_ms(run), absent)
        for site in run.unanswered:
            yield AwaitedSite(
                site=site,
                task=None,
                state="assigned",
                since_ms=run.clock_ms,
                deadline_ms=until,
                connected=connected(site),
            )
    if run.phase is not Phase.RUNNING:
        return
    for exchange in run.open_exchanges():
        waited_for, depends = frozenset(exchange.awaited), exchange.depends_on_idle
        for site, member in exchange.members.items():
            # A member of a masked sum that is ready may wait for others, and is not waited for.
            at_rest = bool(exchange.sums) and site not in waited_for and member.state is not MemberState.IDLE
            if exchange.may_answer(site) and not at_rest:
                yield AwaitedSite(
                    site=site,
                    task=exchange.task,
                    state=member.state.value,
                    since_ms=member.since_ms,
                    deadline_ms=exchange.deadline_ms(run.plan.cohort),
                    connected=connected(site),
                    needed=depends or site in waited_for,
                    cell=exchange.cell_by_site.get(site),
                )


def _cells(run: Run) -> Iterator[CellStatus]:
    """Cells of open exchanges: those that lack something, those that are not asked, the others."""
    if run.phase is not Phase.RUNNING:
        return
    yield from (_cell(exchange, cell) for exchange, cell in _standings(run) if not cell.over)
    for exchange in run.open_exchanges():
        for name, why in unasked_cells(run, exchange).items():
            yield CellStatus(
                exchange=exchange.number,
                round_number=exchange.round_number,
                task=exchange.task,
                cell=name,
                phase="not asked",
                members=len(run.plan.cells[name]),
                attempt=1,
                reason=shortened(why),
            )
    yield from (_cell(exchange, cell) for exchange, cell in _standings(run) if cell.over)


def _standings(run: Run) -> Iterator[tuple[Exchange, CellStanding]]:
    return ((exchange, cell) for exchange in run.open_exchanges() for cell in exchange.sums.values())


def _cell(exchange: Exchange, standing: CellStanding) -> CellStatus:
    return CellStatus(
        exchange=exchange.number,
        round_number=exchange.round_number,
        task=exchange.task,
        cell=standing.cell,
        phase=standing.phase,
        members=len(standing.members),
        attempt=standing.attempt,
        awaited=standing.awaited,
        failed=standing.failed,
        reason=shortened(standing.reason),
        left_out=shortened(standing.left_out),
    )
