"""Masked vectors of one exchange: written by block, recorded, and then sent."""

from __future__ import annotations

import logging
from functools import partial

from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.sums.failure import SumFailedError
from hanse.collaborator.sums.files import SumFiles
from hanse.collaborator.sums.steps import note_step
from hanse.collaborator.task_run import TaskRun
from hanse.concurrency import in_thread
from hanse.core.journal.sum_records import SumPrepared
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.parts import section_of
from hanse.core.values.sums.place import SumPlace
from hanse.errors import ConfigError, PolicyError, RunError, UpdateError
from hanse.pki.statements import state
from hanse.privacy.secagg.layout import Entry, Layout
from hanse.privacy.secagg.site_steps import FailureKind, MaskWritten, WriteMasked
from hanse.updates.secure_sums.masked_file import write_masked
from hanse.updates.secure_sums.vector_file import MASKED
from hanse.wire.messages.sites import TASK_RESULT, TaskOutcome, UpdateFile

logger = logging.getLogger(__name__)


class MaskedVectors:
    """Writes, records and sends what one vector is masked to.

    Args:
        task_run: The task.
        plan: The plan.
        prepared: The record of the vector.
        files: Of the exchange.
        receipts: Submits outcomes.
    """

    def __init__(
        self,
        task_run: TaskRun,
        plan: Plan,
        prepared: SumPrepared,
        files: SumFiles,
        receipts: ReceiptKeeper,
    ) -> None:
        self._task_run = task_run
        self._here = task_run.context
        self._algorithm = plan.digests
        self._cell = prepared.cell
        self._files = files
        self._receipts = receipts
        # To mask needs no more than the number of words: the places of the numbers do not matter any more.
        entry = Entry(MASKED, (prepared.words,), "whole", "total", 0, 1)
        self._shape = Layout(section_of(plan).ring, len(prepared.members), (entry,))

    async def write(self, wanted: WriteMasked) -> MaskWritten:
        """Mask the vector into a file; a full disk is waited for.

        Raises:
            SumFailedError: The vector is lost.
        """
        return await self._here.retry_while_disk_full(partial(in_thread, partial(self._write, wanted)))

    async def record(self, attempt: int, rho: str, masked: str) -> TaskOutcome:
        """Record a masked vector in the site's journal, once; the outcome that names the record."""
        place = self._files.masked(attempt)
        outcome = self._task_run.said(
            outcome="done",
            update=UpdateFile(digest=masked, size=place.stat().st_size),
            secure_sum=SumPlace(cell=self._cell, attempt=attempt, rho=rho),
        )
        record = partial(in_thread, partial(self._task_run.recorded, outcome, update=place))
        recorded = await self._here.retry_while_disk_full(record)
        await in_thread(partial(note_step, "masked recorded"))
        return recorded

    async def send(self, attempt: int, rho: str, masked: str) -> None:
        """Send a masked vector that is recorded, and its outcome.

        Raises:
            SumFailedError: The aggregator will never take it.
        """
        here, place = self._here, self._files.masked(attempt)
        outcome = await self.record(attempt, rho, masked)
        statement = state(here.identity.signing_key, TASK_RESULT, outcome)
        facts = self._task_run.facts
        try:
            await here.retry_while_disk_full(partial(here.upstream.deliver, masked, place))
            await here.deliver_final(partial(self._receipts.submit, statement, outcome))
        except RunError as error:
            told = "%s: the vector that was masked for attempt %d is not awaited: %s"
            logger.info(told, self._task_run, attempt, error, extra=facts)
        except (ConfigError, PolicyError, UpdateError) as error:
            raise SumFailedError.of(error) from error
        else:
            told = "%s: sent, masked for attempt %d at the sum of cell %s, digest %s"
            logger.info(told, self._task_run, attempt, self._cell, masked, extra=facts)
        await in_thread(partial(note_step, "masked sent"))

    def _write(self, wanted: WriteMasked) -> MaskWritten:
        files = self._files
        facts = files.facts()
        if facts is None:
            raise self._lost("it is gone")
        files.drop_masked()
        place = files.masked(wanted.attempt)
        try:
            written = write_masked(files.vector, place, self._shape, wanted.keys, self._algorithm)
        except UpdateError as error:
            raise self._lost(str(error)) from error
        note_step("masked")
        return MaskWritten(wanted.rho, written.digest, facts.commits_to(written.q_digest))

    def _lost(self, why: str) -> SumFailedError:
        return SumFailedError(FailureKind.LOST_VECTOR, f"{self._task_run}: its vector is lost: {why}")
