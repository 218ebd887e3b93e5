"""The fold over the events of masked sums, one exchange at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from hanse.core.run.exchange import AcceptedResult, Exchange, Member, count_states, move
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.sum_rules.checks import cell_standing, check_masked, check_ready, place_of, read_body
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.run.sums.shortfall import lacking_others
from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.roster import Roster
from hanse.core.values.sums.ready import MOST_ATTEMPTS
from hanse.errors import RunError, TamperedError, TrustError

SumEvent = SiteReady | SumAttempted | CellLeftOut | SumOpened


def evolve_sum(run_id: str, exchange: Exchange, event: SumEvent, time_ms: int) -> Exchange:
    """Apply one event of a masked sum.

    Raises:
        TamperedError: The event cannot follow; no run of ours writes such a journal.
    """
    with _as_tampered(exchange, event.kind):
        match event:
            case SiteReady():
                body = read_body(event.statement.body, event.site)
                standing = cell_standing(exchange, event.site, event.cell)
                if event.attempt > standing.attempt:
                    raise RunError(f"attempt {event.attempt} has not begun")
                check_ready(run_id, exchange, standing, event.site, event.attempt, body)
                return move(exchange, event, event.site, time_ms)
            case SumAttempted():
                return _attempted(exchange, event, time_ms)
            case CellLeftOut():
                return _left_out(exchange, event, time_ms)
            case SumOpened():
                return _opened(exchange, event)


def check_accepted(exchange: Exchange, event: UpdateAccepted) -> None:
    """Refuse a masked vector in a journal that cannot be there.

    Raises:
        TamperedError: It is not of the present attempt with a complete roster, or the second of its site.
    """
    if event.site not in exchange.cell_by_site:
        return
    with _as_tampered(exchange, event.kind):
        if event.site in exchange.standing_of(event.site).masked:
            raise RunError(f"{event.site} has a masked vector for this roster already")
        place = place_of(event.statement)
        check_masked(exchange, event.site, place, signed=event.statement is not None)


@contextmanager
def _as_tampered(exchange: Exchange, kind: str) -> Iterator[None]:
    try:
        yield
    except (RunError, TrustError, ValueError) as error:
        raise TamperedError(
            f"the journal has a {kind} of exchange {exchange.number} that cannot be there: {error}"
        ) from error


def _attempted(exchange: Exchange, event: SumAttempted, time_ms: int) -> Exchange:
    standing = cell_standing(exchange, event.site, event.cell)
    if exchange.closed is not None or standing.over or event.attempt <= standing.attempt:
        raise RunError(f"attempt {event.attempt} of the cell {event.cell} cannot begin")
    exchange = exchange.with_cell(standing.attempted(event.attempt, event.reason, time_ms))
    again = {
        site: Member(MemberState.STARTED, time_ms)
        for site in standing.members
        if exchange.members[site].state in (MemberState.READY, MemberState.ANSWERED)
    }
    return _with_members(exchange, again)


def _left_out(exchange: Exchange, event: CellLeftOut, time_ms: int) -> Exchange:
    """Members that lack others alone lose nothing by it; those that the cell waited for stay as they are."""
    standing = exchange.sums.get(event.cell)
    if standing is None or exchange.closed is not None or standing.over or not event.reason:
        raise RunError(f"the cell {event.cell[:80]!r} cannot be left out")
    if event.missing != standing.missing:
        raise RunError(f"the cell {event.cell} lacks other members")
    reason = lacking_others(event.cell, event.missing)
    gone = {
        site: Member(MemberState.FAILED, time_ms, reason=reason, gone=True)
        for site in standing.members
        if site not in event.missing
    }
    left = replace(standing, left_out=event.reason, since_ms=time_ms)
    return _with_members(exchange.with_cell(left), gone)


def _opened(exchange: Exchange, event: SumOpened) -> Exchange:
    standing = exchange.sums.get(event.cell)
    if standing is None or standing.opened:
        raise RunError(f"the cell {event.cell[:80]!r} has no sum to open")
    check_sum_of_cell(exchange, standing, event)
    return exchange.with_cell(replace(standing, sum=event.sum))


def check_sum_of_cell(exchange: Exchange, standing: CellStanding, event: SumOpened) -> None:
    """Refuse the sum of a cell that is not over the masked vectors of all members at one attempt.

    Raises:
        RunError: It is not.
    """
    if exchange.closed is None or exchange.aggregated or standing.left_out or not standing.complete:
        raise RunError(f"the cell {standing.cell} of exchange {exchange.number} is not complete and closed")
    if event.attempt != standing.attempt or (standing.rho is not None and event.rho != standing.rho):
        raise RunError(f"the cell {standing.cell} was complete in attempt {standing.attempt}, not another")
    if dict(event.masked) != dict(standing.masked):
        raise RunError(f"the sum of the cell {standing.cell} is over other masked vectors than came")


def taken_up(exchange: Exchange, time_ms: int) -> Exchange:
    """An exchange whose run is resumed, with the cells that were left out back in it."""
    for standing in exchange.sums.values():
        if standing.left_out and exchange.closed is None:
            exchange = _with_members(
                exchange.with_cell(_back(standing, time_ms)), answers_of(standing, time_ms)
            )
    return exchange


def starting(exchange: Exchange, summed: Mapping[str, int]) -> Exchange:
    """An exchange as it begins, with the local state that the members of each cell start from.

    Args:
        exchange: The exchange.
        summed: The last exchange before it whose sum was opened, by cell.
    """
    for cell, standing in exchange.sums.items():
        exchange = exchange.with_cell(replace(standing, counted=summed.get(cell, 0)))
    return exchange


def cells_asked_again(before: Exchange, fresh: Exchange, roster: Roster, time_ms: int) -> Exchange:
    """An exchange with masked sums that the workflow asks once more, under its number, before it closed.

    What came for cells that are complete, or that are asked now, stands; their attempts and commitments do
    in any case. A READY with another key than the site has now does not.

    Args:
        before: As it was.
        fresh: As it would be if it were asked for the first time.
        roster: Signing keys of the sites that take part now.
        time_ms: The time, milliseconds since 1970.
    """
    for standing in before.sums.values():
        asked = fresh.sums.get(standing.cell)
        if standing.complete and not standing.left_out:
            kept = standing
        elif asked is None or asked.members != standing.members:
            continue
        else:
            kept = replace(standing, left_out="", failed=(), since_ms=time_ms)
            keys = {site: ready.claimed_signer for site, ready in kept.ready.items()}
            if any(roster.get(site) != key for site, key in keys.items()):
                # The number of an attempt that had another roster is not given out again.
                further = min(kept.attempt + 1, MOST_ATTEMPTS)
                kept = kept.attempted(further, "a member has another signing key", time_ms)
        ready = {site: Member(MemberState.READY, time_ms) for site in kept.ready}
        by_site = {**fresh.cell_by_site, **dict.fromkeys(kept.members, kept.cell)}
        fresh = replace(fresh.with_cell(kept), cell_by_site=by_site)
        fresh = _with_members(fresh, {**ready, **answers_of(kept, time_ms)})
    return replace(fresh, first=before.first)


def answers_of(standing: CellStanding, time_ms: int) -> dict[str, Member]:
    """Members whose masked vectors of the present attempt are here; none states a number beside."""
    return {
        site: Member(MemberState.ANSWERED, time_ms, AcceptedResult(0, {}, digest))
        for site, digest in standing.masked.items()
    }


def _back(standing: CellStanding, time_ms: int) -> CellStanding:
    failed = tuple(site for site in standing.failed if site not in standing.masked)
    return replace(standing, left_out="", failed=failed, since_ms=time_ms)


def _with_members(exchange: Exchange, changed: dict[str, Member]) -> Exchange:
    if not changed:
        return exchange
    members = exchange.members.update(changed)
    return replace(exchange, members=members, counts=count_states(members))
