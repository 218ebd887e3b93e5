"""Decisions about masked sums: READYs, cells that are left out, and sums."""

from __future__ import annotations

from hanse.core.run.events import Events
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Phase, Run, must_run
from hanse.core.run.sum_rules.checks import cell_standing, check_ready, is_repetition
from hanse.core.run.sum_rules.evolve import check_sum_of_cell
from hanse.core.run.sums.commands import RecordSum, TakeReady
from hanse.core.run.sums.events import CellLeftOut, SiteReady, SumAttempted, SumOpened
from hanse.core.run.sums.shortfall import cell_shortfall
from hanse.core.values.sums.ready import read_ready
from hanse.core.values.wording import in_phase
from hanse.errors import LateResultError, RunError, TrustError


def take_ready(run: Run, command: TakeReady) -> Events:
    """Take a member's READY; one of a further attempt begins it.

    Raises:
        LateResultError: The exchange or the cell is over, or the member has failed.
        AttemptError: The attempt is over, or has another READY of the member; says which is the next.
        TrustError: The READY is of something else, or commits to other numbers than the member's first.
        RunError: There is no such exchange or cell, or the site is not a member of it.
    """
    exchange = _exchange(run, command.exchange)
    site, attempt = command.site, command.attempt
    standing, body = cell_standing(exchange, site, command.cell), read_ready(command.statement.body)
    if is_repetition(standing, site, command.statement.body):
        return ()
    if run.phase is not Phase.RUNNING:
        raise LateResultError(f"run {run.run_id} {in_phase(run.phase)}; no READY is taken any more")
    check_ready(run.run_id, exchange, standing, site, attempt, body)
    if body.commitment != command.commitment:
        raise TrustError(f"the READY of {site} has another commitment than was checked")
    ready = SiteReady(
        exchange=exchange.number, site=site, cell=standing.cell, attempt=attempt, statement=command.statement
    )
    if attempt == standing.attempt:
        return (ready,)
    begun = SumAttempted(
        exchange=exchange.number,
        cell=standing.cell,
        attempt=attempt,
        site=site,
        reason=command.reason or f"{site} began attempt {attempt}",
    )
    return (begun, ready)


def record_sum(run: Run, command: RecordSum) -> Events:
    """Note the sum of a cell; noting it again changes nothing.

    Raises:
        RunError: The cell is not complete and closed, or the sum is over something else than came.
    """
    must_run(run)
    exchange = _exchange(run, command.exchange)
    standing = exchange.sums.get(command.cell)
    if standing is None:
        raise RunError(f"exchange {exchange.number} has no masked sum of a cell {command.cell[:80]!r}")
    event = SumOpened(
        exchange=exchange.number,
        cell=command.cell,
        attempt=command.attempt,
        rho=command.rho,
        masked=dict(command.masked),
        sum=command.sum,
        num_examples=command.num_examples,
        error=command.error,
        clipped=command.clipped,
        out_of_range=command.out_of_range,
    )
    if standing.opened and standing.sum == command.sum:
        return ()
    if standing.opened:
        raise RunError(f"the cell {standing.cell} of exchange {exchange.number} has another sum already")
    check_sum_of_cell(exchange, standing, event)
    return (event,)


def cells_left_out(exchange: Exchange, *, overdue: bool) -> tuple[CellLeftOut, ...]:
    """Cells to leave out now: those that lack a member for good, at the deadline all that lack one."""
    return tuple(
        CellLeftOut(
            exchange=exchange.number,
            cell=standing.cell,
            missing=standing.missing,
            reason=cell_shortfall(standing, exchange.members, overdue=overdue),
        )
        for standing in exchange.sums.values()
        if standing.lost or (overdue and not standing.over)
    )


def _exchange(run: Run, number: int) -> Exchange:
    exchange = run.exchanges.get(number)
    if exchange is not None:
        return exchange
    if number > run.last_exchange:
        raise RunError(f"run {run.run_id} has no exchange {number}")
    raise LateResultError(f"exchange {number} of run {run.run_id} is over")
