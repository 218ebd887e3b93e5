"""Local state that a task of a site starts from."""

from __future__ import annotations

from hanse.core.plan.privacy.cells import cell_of
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run


def counted_at(run: Run, exchange: Exchange, site: str) -> int:
    """The exchange whose local state a site's task starts from; 0 for the state of the beginning.

    Where the plan has masked sums, the last one before that summed the cell of the site: the same for all
    members, since it is part of the question that they answer.
    """
    if run.plan.privacy.secure_aggregation is None:
        return run.accepted.get(site, 0)
    cell = exchange.cell_by_site.get(site)
    return run.summed.get(cell_of(run.plan, site), 0) if cell is None else exchange.sums[cell].counted
