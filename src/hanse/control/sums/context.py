"""Context of a masked sum, computed again from the journal."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.control.sums.evidence import Attempt, CellEvidence, MaskedExchange, RunName
from hanse.core.plan.privacy.cells import colluders_of
from hanse.privacy.secagg.context import SumContext


def context_of(exchange: MaskedExchange, cell: CellEvidence, run: RunName, layout: str) -> str:
    """Digest of the context that all members of a cell have to state.

    Args:
        exchange: The exchange.
        cell: The cell.
        run: The run.
        layout: Digest of the layout of the vector.
    """
    opened = exchange.opened
    inputs = opened.inputs
    return SumContext(
        federation=run.federation,
        run_id=run.run_id,
        submitted_ms=exchange.submitted_ms,
        plan_digest=exchange.plan_digest,
        round_number=opened.round_number,
        exchange=opened.exchange,
        counted=cell.counted,
        task=opened.task,
        model=None if opened.model is None else opened.model.digest,
        groups=inputs.groups,
        settings=inputs.settings,
        cells=inputs.cells,
        cell=cell.cell,
        members=cell.members,
        colluders=colluders_of(exchange.plan),
        layout=layout,
    ).digest


def problems_of_contexts(attempt: Attempt, expected: str | None) -> Iterator[str]:
    """Say in words which member stated another context than the others, or than the journal gives.

    Args:
        attempt: With the READYs of all members.
        expected: What the journal gives; None where the layout is not known.
    """
    names = sorted(attempt.ready)
    first = attempt.ready[names[0]]
    for name in names[1:]:
        if attempt.ready[name].context != first.context:
            yield f"the READY of {name} has another context than that of {first.site}"
            return
    if expected is not None and first.context != expected:
        yield (
            f"the members stated context {first.context[:12]}, and by the journal it is {expected[:12]}: "
            "they computed on something else than the journal says"
        )
