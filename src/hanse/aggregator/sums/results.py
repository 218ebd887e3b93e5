"""Outcomes of tasks whose results are masked, checked before any of them counts."""

from __future__ import annotations

from hanse.aggregator.sums.cells import cell_sum, cell_with
from hanse.aggregator.sums.layouts import SumLayouts
from hanse.core.run.exchange import Exchange
from hanse.core.run.run import Run
from hanse.errors import DisclosureError, LateResultError, ProtocolError
from hanse.privacy.secagg.aggregator import take_masked
from hanse.wire.messages.sites import TaskOutcome, UpdateFile

_UPGRADE = "Upgrade Hanse at that site."


class MaskedResults:
    """Checks masked outcomes; methods may be called from any thread.

    Args:
        layouts: Say how many words a vector has.
    """

    def __init__(self, layouts: SumLayouts) -> None:
        self._layouts = layouts

    def check_place(self, run: Run, exchange: Exchange, outcome: TaskOutcome) -> UpdateFile:
        """Refuse an outcome that states anything beside a vector masked for the present roster.

        Returns:
            The file of the vector, which is not looked at.

        Raises:
            DisclosureError: It is not masked, or says more of the site than a masked one may.
            LateResultError: Its attempt is over.
            ProtocolError: It is of another cell.
            RunError: The site has sent another vector for this roster.
        """
        who = f"task {outcome.task} at {outcome.site}"
        place, update = outcome.secure_sum, outcome.update
        if place is None or update is None:
            raise DisclosureError(
                f"{who} sent an unmasked result, and the plan has it summed by secure_aggregation: it does "
                "not count",
                mend=_UPGRADE,
            )
        if outcome.num_examples or outcome.metrics:
            raise DisclosureError(
                f"{who} sent its number of examples or metrics beside its masked vector, which has them",
                mend=_UPGRADE,
            )
        cell = cell_with(exchange, outcome.site)
        if cell is None or cell.cell != place.cell:
            raise ProtocolError(
                f"{who} sent a vector that is masked for cell {place.cell}, and its cell is "
                f"{'none' if cell is None else cell.cell}"
            )
        if place.rho != cell.rho:
            raise LateResultError(
                f"attempt {place.attempt} of cell {cell.cell} in exchange {exchange.number} is over, or has "
                "another roster"
            )
        context = self._layouts.context(run, exchange, cell)
        state = cell_sum(run, exchange, cell, self._layouts.federation, context)
        take_masked(state, outcome.site, place.attempt, place.rho, update.digest)
        return update


def check_unmasked(outcome: TaskOutcome) -> None:
    """Refuse a masked vector where the plan has results that are not masked.

    Raises:
        ProtocolError: Names the task.
    """
    if outcome.secure_sum is not None:
        raise ProtocolError(
            f"task {outcome.task} at {outcome.site} sent a masked vector, and its results are not masked by "
            "the plan",
            mend=_UPGRADE,
        )


def check_failure(outcome: TaskOutcome) -> None:
    """Refuse print-out of a task whose results are masked: of its failure the kind alone may leave.

    Raises:
        DisclosureError: Names the task.
    """
    if outcome.log_tail or outcome.num_examples or outcome.metrics or outcome.update or outcome.secure_sum:
        raise DisclosureError(
            f"task {outcome.task} at {outcome.site} failed and said more than that; its results are masked",
            mend=_UPGRADE,
        )
