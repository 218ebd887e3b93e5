"""Tasks whose results leave masked only: a vector for each, and attempts at its sum."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Protocol

from hanse.collaborator.context import SiteContext
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.review import Reviewer
from hanse.collaborator.sums.attempts import SumAttempts
from hanse.collaborator.sums.board import Board
from hanse.collaborator.sums.failure import SumFailedError
from hanse.collaborator.sums.failure_limit import FailureLimit
from hanse.collaborator.sums.files import SumFiles
from hanse.collaborator.sums.memory import OwnCell, own_cell
from hanse.collaborator.sums.preparation import Preparation
from hanse.collaborator.sums.questions import Questions
from hanse.collaborator.task_run import TaskRun
from hanse.concurrency import in_thread
from hanse.config.layout import QUESTIONS
from hanse.core.plan.manifest import Manifest
from hanse.errors import HanseError, ProtocolError, TamperedError, TransportError, TrustError
from hanse.wire.messages.sites import TaskOutcome

logger = logging.getLogger(__name__)

_ENDS_AGENT = (ProtocolError, TamperedError, TransportError, TrustError)


class HandsIn(Protocol):
    """Submits an outcome until it is taken."""

    async def __call__(self, task_run: TaskRun, outcome: TaskOutcome, *, of_data: bool = False) -> None:
        """Submit it; of a failure, say for the journal if the data may have been the reason."""
        ...


class MaskedTasks:
    """Performs tasks once an exchange, and makes attempts at the sums of their cells.

    Args:
        context: The site.
        reviewer: Knows which plans the site takes part in.
        receipts: Hands masked vectors in.
        fail: Submits word of a failure.

    Attributes:
        board: What the aggregator waits for.
    """

    def __init__(
        self,
        context: SiteContext,
        reviewer: Reviewer,
        receipts: ReceiptKeeper,
        fail: HandsIn,
    ) -> None:
        self.board = Board()
        self._here = context
        self._reviewer = reviewer
        self._receipts = receipts
        self._fail = fail
        self._accepting = asyncio.Lock()
        self._limit = FailureLimit(self.board, Questions(context.directory / QUESTIONS))

    async def see_through(self, task_run: TaskRun) -> None:
        """See a task through until its cell is complete, it failed, or the exchange is over."""
        try:
            await self._attempt(task_run)
        except SumFailedError as failure:
            printed = {"printed": failure.printed} if failure.printed else {}
            told = "%s failed (%s): %s"
            logger.error(told, task_run, failure.kind, failure.reason, extra=task_run.facts | printed)
            outcome = task_run.failed_by(failure.kind)
            await self._fail(task_run, outcome, of_data=failure.by_data)
        finally:
            self._limit.end((task_run.run.run_id, task_run.assignment.exchange))

    def end_run(self, run_id: str) -> None:
        """Take questions off that only a run that is over has asked."""
        self._limit.end_run(run_id)

    async def _attempt(self, task_run: TaskRun) -> None:
        exchange = task_run.assignment.exchange
        manifest, cell = await self._checked(task_run)
        files = SumFiles(task_run.folder.sums, exchange)
        preparation = Preparation(task_run, manifest.plan, cell, files)
        prepared = await in_thread(preparation.kept)
        if prepared is None:
            if not await self._limit.begin(task_run):
                return
            prepared = await preparation.make(manifest)
            self._limit.end((task_run.run.run_id, exchange))
        attempts = SumAttempts(
            *(task_run, manifest.plan, cell, files, self.board, self._receipts),
            accepting=self._accepting,
        )
        await attempts.run(prepared)

    async def _checked(self, task_run: TaskRun) -> tuple[Manifest, OwnCell]:
        """The plan, and this site's cell, if both may be."""
        digest = task_run.run.plan_digest
        try:
            manifest = await task_run.checked()
            find = partial(in_thread, partial(own_cell, self._here, manifest.plan, digest))
            return manifest, await self._here.retry_while_disk_full(find)
        except _ENDS_AGENT:
            raise
        except HanseError as error:
            raise SumFailedError.of(error) from error
