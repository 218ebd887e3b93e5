"""A run as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from hanse.core.run.run import Phase, Run
from hanse.core.run.suspension import format_suspension, reinstatement_ms, reinstatement_round
from hanse.wire.messages.runs import Awaited, RunStatus, SuspendedSite, TookPart

CONTACT_MS = 120_000
"""A site that was heard of within this time counts as connected; a long poll is shorter."""


MOST_AWAITED = 500
"""Sites that a status names as awaited; a status has to fit into a message."""


MOST_SITES = 1_000
"""Sites that a status names with their answers to the plan."""


MOST_NAMED = 100
"""Sites that a status names for one reason; the journal has all of them."""


MOST_EXCHANGES = 8
"""Closed exchanges of which a status says who took part."""


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
        reason=run.reason[:_LONGEST_REASON],
        rounds=run.plan.rounds,
        rounds_committed=max(run.committed, 0),
        round_open=run.round_open,
        submitted_by=run.submitted_by,
        submitted_ms=run.submitted_ms,
        population=run.population[:MOST_SITES],
        answers={site: _answer(run, site) for site in islice(run.invited, MOST_SITES)},
        sites=_counts(run),
        awaited=tuple(islice(_awaited(run, seen_ms, now_ms), MOST_AWAITED)),
        model=run.model,
        best_round=run.best.round_number if run.best else None,
        best_model=run.best.model if run.best else None,
        metrics=dict(run.metrics),
        took_part=_took_part(run),
        short_rounds=run.attendance.short_rounds,
        suspended=_suspended(run),
        events=events,
    )


def format_awaited(awaited: Awaited) -> str:
    """Who is waited for, for what, since when and until when (UTC)."""
    since, until = (
        datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for time_ms in (awaited.since_ms, awaited.deadline_ms)
    )
    away = "" if awaited.connected else ", not connected"
    return f"{awaited.site} ({awaited.what}, {awaited.state} since {since}, until {until}{away})"


def _answer(run: Run, site: str) -> str:
    """What a site says to the plan, in a word."""
    if site in run.left:
        return "left"
    accepted = run.answers.get(site)
    return "awaited" if accepted is None else "accepted" if accepted else "refused"


def _counts(run: Run) -> dict[str, int]:
    counts = {"accepted": len(run.taking_part), "awaited": len(run.unheard), "left": len(run.left)}
    counts["refused"] = len(run.invited) - sum(counts.values())
    return {word: count for word, count in counts.items() if count}


def _took_part(run: Run) -> tuple[TookPart, ...]:
    """The exchanges of the last round committed and of the open one; of a stream, the last few."""
    rounds = (run.committed, run.round_open)
    last = [found for found in run.attendance.closed.values() if found.round_number in rounds]
    return tuple(TookPart.of(found, MOST_NAMED) for found in last[-MOST_EXCHANGES:])


def _suspended(run: Run) -> tuple[SuspendedSite, ...]:
    return tuple(
        SuspendedSite(
            site=site,
            reason=found.reason,
            round_number=found.round_number,
            since_ms=found.since_ms,
            reinstatement_round=reinstatement_round(run, site),
            reinstatement_ms=reinstatement_ms(run, site),
            told=format_suspension(run, site),
        )
        for site, found in islice(run.failure_record.suspensions.items(), MOST_NAMED)
    )


def _awaited(run: Run, seen_ms: Mapping[str, int], now_ms: int) -> Iterator[Awaited]:
    def connected(site: str) -> bool:
        return site in seen_ms and now_ms - seen_ms[site] < CONTACT_MS

    if run.phase is Phase.SUBMITTED:
        until = run.clock_ms + round(run.plan.cohort.approvals * 1000)
        for site in run.unanswered:
            yield Awaited(
                site=site,
                what="answer to the plan",
                state="assigned",
                since_ms=run.clock_ms,
                deadline_ms=until,
                connected=connected(site),
            )
    if run.phase is not Phase.RUNNING:
        return
    for exchange in run.open_exchanges():
        for site, member in exchange.members.items():
            if exchange.may_answer(site):
                yield Awaited(
                    site=site,
                    what=exchange.task,
                    state=member.state.value,
                    since_ms=member.since_ms,
                    deadline_ms=exchange.deadline_ms(run.plan.cohort),
                    connected=connected(site),
                )
