"""Context of the masked sum of one cell, as a run has it; of the aggregator and of the simulator."""

from __future__ import annotations

from hanse.core.plan.privacy.cells import colluders_of
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.run.sums.standing import CellStanding
from hanse.privacy.secagg.context import SumContext


def context_of_cell(
    run: Run, exchange: Exchange, cell: CellStanding, layout: str, *, federation: str, submitted_ms: int
) -> str:
    """Digest of the context that all members of a cell have to state.

    Args:
        run: The run.
        exchange: The exchange.
        cell: The cell in it.
        layout: Digest of the layout of the vector.
        federation: Name of the federation.
        submitted_ms: When the run was submitted, milliseconds since 1970.
    """
    inputs = exchange.inputs
    return SumContext(
        federation=federation,
        run_id=run.run_id,
        submitted_ms=submitted_ms,
        plan_digest=run.plan_digest,
        round_number=exchange.round_number,
        exchange=exchange.number,
        counted=cell.counted,
        task=exchange.task,
        model=None if exchange.model is None else exchange.model.digest,
        groups=inputs.groups,
        settings=inputs.settings,
        cells=inputs.cells,
        cell=cell.cell,
        members=cell.members,
        colluders=colluders_of(run.plan),
        layout=layout,
    ).digest
