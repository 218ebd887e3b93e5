"""A run as an operator sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from hanse.core.run.exchange import deadline_ms
from hanse.core.run.run import Phase, Run
from hanse.core.run.suspension import reinstatement_ms, reinstatement_round
from hanse.wire.messages.runs import AwaitedSite, ExchangeAttendance, RunStatus, SuspendedSite

CONTACT_MS = 120_000
"""A site that was heard of within this time counts as connected; a long poll is shorter."""


MOST_ANSWERS = 2_000
"""Sites whose answer to the plan a status names, which has to fit into a message; the journal names all."""
MOST_AWAITED = 500
"""Sites that a status names as awaited."""
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
    answers = _answers(run)
    return RunStatus(
        run_id=run.run_id,
        plan_name=run.plan.name,
        plan_digest=run.plan_digest,
        phase=run.phase.value,
        reason=run.reason[:_LONGEST_REASON],
        rounds=run.plan.rounds,
        rounds_committed=max(run.committed, 0),
        round_open=run.round_open,
        submitted_by=run.submitted_by,
        submitted_ms=run.submitted_ms,
        population=len(run.population),
        answers=dict(islice(answers.items(), MOST_ANSWERS)),
        answer_counts=dict(sorted(Counter(answers.values()).items())),
        awaited=_awaited(run, seen_ms, now_ms)[:MOST_AWAITED],
        model=run.model,
        best_round=run.best.round_number if run.best else None,
        best_model=run.best.model if run.best else None,
        metrics=dict(run.metrics),
        attendance=_attendance(run),
        short_rounds=run.attendance.short_rounds,
        suspended=_suspended(run),
        events=events,
    )


def _answers(run: Run) -> dict[str, str]:
    """What became of the plan at each site, in site order."""
    answers = {site: "accepted" if yes else "refused" for site, yes in run.answers.items()}
    answers |= dict.fromkeys(run.unanswered, "awaited")
    answers |= dict.fromkeys(run.left, "left")
    return dict(sorted(answers.items()))


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
        for site, found in sorted(run.failure_record.suspensions.items())[:MOST_SUSPENDED]
    )


def _awaited(run: Run, seen_ms: Mapping[str, int], now_ms: int) -> tuple[AwaitedSite, ...]:
    def connected(site: str) -> bool:
        return site in seen_ms and now_ms - seen_ms[site] < CONTACT_MS

    if run.phase is Phase.SUBMITTED:
        until = run.clock_ms + round(run.plan.cohort.approvals * 1000)
        return tuple(
            AwaitedSite(
                site=site,
                task=None,
                state="assigned",
                since_ms=run.clock_ms,
                deadline_ms=until,
                connected=connected(site),
            )
            for site in run.unanswered
        )
    if run.phase is not Phase.RUNNING:
        return ()
    return tuple(
        AwaitedSite(
            site=site,
            task=exchange.task,
            state=exchange.members[site].state.value,
            since_ms=exchange.members[site].since_ms,
            deadline_ms=deadline_ms(exchange, run.plan.cohort),
            connected=connected(site),
        )
        for exchange in run.open_exchanges()
        for site in exchange.unanswered
    )
