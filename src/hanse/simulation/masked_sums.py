"""Masked sums of virtual sites: each site's words as in a deployment, added without masks.

In the sum masks cancel, so that the words of the sum are those that a deployed cell gives for the same q.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.core.run.sums.commands import RecordSum
from hanse.core.run.sums.standing import CellStanding
from hanse.core.values.seeds import derive
from hanse.core.values.sums.ready import rho_of
from hanse.core.values.update import Aggregate, Update
from hanse.privacy.secagg.grid import Randomness
from hanse.simulation.received import Kept, headers_of
from hanse.updates.incoming import fold_cells
from hanse.updates.secure_sums.context import context_of_cell
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.opened import CellWords, RunningCell
from hanse.updates.secure_sums.vector_file import MASKED
from hanse.wire.tensors import digest_of

_FEDERATION = "simulation"


@dataclass(frozen=True, slots=True)
class SimulatedSum:
    """The sum of one exchange over whole cells.

    Attributes:
        run: The run when it asked.
        exchange: The exchange.
        received: The headers of what the sites start from.
    """

    run: Run
    exchange: Exchange
    received: Received

    def contexts(self) -> dict[str, str]:
        """The digest of the context of each cell, by its name; the same whenever the run begins."""
        run, exchange = self.run, self.exchange
        layout = sum_layout(run.plan, exchange.task, self.received).digest
        return {
            standing.cell: context_of_cell(
                run, exchange, standing, layout, federation=_FEDERATION, submitted_ms=0
            )
            for standing in exchange.sums.values()
        }

    def added(self, answers: Iterable[Update]) -> dict[str, RunningCell]:
        """The sums of the cells of these answers, by name; a vector is not needed once the next is taken."""
        layout = sum_layout(self.run.plan, self.exchange.task, self.received)
        cells: dict[str, RunningCell] = {}
        for update in answers:
            cell = self.exchange.cell_by_site[update.site]
            cells.setdefault(cell, RunningCell(layout)).add([(update.delta or {})[MASKED]])
            del update  # or it would be held while the next one is made
        return cells

    def opened(
        self, cells: Mapping[str, RunningCell], standings: Iterable[CellStanding]
    ) -> tuple[Aggregate, list[RecordSum]]:
        """Open the sums of the complete cells.

        Args:
            cells: Sums, by the names of the cells.
            standings: Where each cell stands, once the exchange has closed.

        Returns:
            The aggregate, and what is recorded of each cell.

        Raises:
            UpdateError: As `hanse.updates.incoming.fold_cells`.
            QuorumError: As `hanse.updates.incoming.fold_cells`.
        """
        contexts, algorithm = self.contexts(), self.run.plan.digests
        complete = [each for each in standings if each.complete and not each.left_out]
        words = [
            CellWords(each.cell, each.members, contexts[each.cell], cells[each.cell].words)
            for each in complete
        ]
        found = fold_cells(self.run.plan, self.exchange.task, self.received, words)
        figures = [found.figures[each.cell] for each in complete]
        recorded = [
            RecordSum(
                exchange=self.exchange.number,
                cell=each.cell,
                attempt=each.attempt,
                rho=rho_of(()),  # of no READYs: in this process there are no keys
                masked=each.masked,
                sum=digest_of({MASKED: cells[each.cell].words}, algorithm),
                num_examples=figure.num_examples,
                error=figure.error,
                clipped=figure.clipped,
                out_of_range=figure.out_of_range,
            )
            for each, figure in zip(complete, figures, strict=True)
        ]
        return found.aggregate, recorded


def contexts_of(run: Run, exchange: Exchange, kept: Kept) -> dict[str, str]:
    """As `SimulatedSum.contexts`; none of an exchange whose sums are not masked.

    Args:
        run: The run.
        exchange: The exchange.
        kept: What its sites receive.
    """
    if not exchange.sums:
        return {}
    return SimulatedSum(run, exchange, headers_of(kept, exchange)).contexts()


def is_left_out(run: Run, exchange: Exchange, site: str) -> bool:
    """Check if the cell of a site is not in the sum any more, for lack of another member."""
    now = run.exchanges[exchange.number]
    return site in now.cell_by_site and bool(now.standing_of(site).left_out)


def seeded(plan: Plan, site: str, exchange: int) -> Randomness:
    """Random bytes of one site's rounding, the same when the run is simulated again."""
    seed, counter = derive(plan.seed, "rounding", site, exchange), itertools.count()
    return lambda size: hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(size)
