"""Views of a run's state by the cells of a masked sum."""

from __future__ import annotations

from hanse.core.plan.privacy.cells import masks
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.run.sums.standing import CellStanding
from hanse.errors import LateResultError
from hanse.privacy.secagg.aggregator import CellPlan, CellSum
from hanse.wire.messages.sums import SumAsked


def is_masked(run: Run, exchange: Exchange) -> bool:
    """Check if results of an exchange are taken masked only; follows from the plan alone."""
    return masks(run.plan, exchange.task)


def cell_with(exchange: Exchange, site: str) -> CellStanding | None:
    """The cell of a member in an exchange whose sums are masked; None where there is none."""
    cell = exchange.cell_by_site.get(site)
    return None if cell is None else exchange.sums[cell]


def sum_asked(exchange: Exchange, site: str) -> SumAsked | None:
    """The attempt that is awaited in the cell of a site; None where no sum is masked."""
    cell = cell_with(exchange, site)
    return None if cell is None else SumAsked(cell=cell.cell, attempt=cell.attempt, rho=cell.rho)


def cell_sum(run: Run, exchange: Exchange, cell: CellStanding, federation: str, context: str) -> CellSum:
    """The state of a cell for the rules of `hanse.privacy.secagg.aggregator`.

    Args:
        run: The run.
        exchange: The exchange.
        cell: The cell in it.
        federation: Name of the federation.
        context: Digest of the context.

    Raises:
        LateResultError: The exchange is closed, or a member has left the run, so that the cell has no sum.
    """
    if exchange.closed is not None:
        raise LateResultError(f"exchange {exchange.number} of run {run.run_id} closed ({exchange.closed})")
    # With these keys the members have agreed to the plan.
    signers = {site: run.roster[site] for site in cell.members if site in run.roster}
    if absent := sorted({*cell.members} - signers.keys()):
        raise LateResultError(
            f"cell {cell.cell} of exchange {exchange.number} has no sum: {absent[0]} takes no part any more"
        )
    return CellSum(
        plan=CellPlan(federation, run.run_id, exchange.number, cell.cell, context, signers),
        attempt=cell.attempt,
        ready=cell.ready,
        masked=cell.masked,
        commitments=cell.commitments,
        left_out=bool(cell.left_out),
    )
