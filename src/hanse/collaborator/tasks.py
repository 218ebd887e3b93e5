"""Tasks of runs: carried out once, signed, written down, and handed in until they are taken."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.site_evidence import SiteEvidence
from hanse.collaborator.exchange_limits import recover_releases
from hanse.collaborator.own_statements import check_own
from hanse.collaborator.progress import Progress
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.releases import other_run
from hanse.collaborator.review import Reviewer
from hanse.collaborator.rosters import Rosters, forget_run
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.sums.board import Board
from hanse.collaborator.sums.masked_tasks import MaskedTasks
from hanse.collaborator.task_run import TaskRun
from hanse.collaborator.task_worker.pool import Workers
from hanse.core.values.groups import contents_in_words
from hanse.core.values.model_ref import ModelRef
from hanse.errors import (
    ConfigError,
    HanseError,
    InternalError,
    PolicyError,
    ProtocolError,
    RunError,
    StorageError,
    TamperedError,
    TaskError,
    TransportError,
    TrustError,
    UpdateError,
)
from hanse.files.deleting import delete_tree
from hanse.pki.statements import state
from hanse.sandbox.temporary import empty_temporary
from hanse.wire.messages.sites import (
    TASK_RESULT,
    Assignment,
    ProgressRequest,
    RunWork,
    TaskOutcome,
    purpose_of_outcome,
)
from hanse.wire.tensors import read_specs

logger = logging.getLogger(__name__)

_REFUSED = (ConfigError, PolicyError, UpdateError)
"""How an aggregator refuses an outcome that it will never take."""
_FAILURES = (*_REFUSED, RunError, StorageError, TaskError)
"""What ends a task."""
ENDS_AGENT = (ProtocolError, TamperedError, TransportError, TrustError)
"""Errors that end the agent; any other error ends only the task, or the review, that met it."""


class Tasks:
    """Sees to what runs ask of this site; to the tasks of one run one after another."""

    def __init__(
        self,
        context: SiteContext,
        reviewer: Reviewer,
        workers: Workers,
        receipts: ReceiptKeeper,
        evidence: SiteEvidence,
    ) -> None:
        self._evidence = evidence
        self._here = context
        self._receipts = receipts
        self._reviewer = reviewer
        self._workers = workers
        self._rosters = Rosters(context)
        self._masked = MaskedTasks(context, reviewer, receipts, self._hand_in)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._recovered: set[str] = set()
        """Runs whose kept outcomes are all in the site's journal."""
        self._counted: dict[str, int] = {}
        """By run, the last exchange whose result the aggregator has accepted from this agent."""

    @property
    def board(self) -> Board:
        """The list of what the aggregator waits for in masked sums; to be given each list of work."""
        return self._masked.board

    async def run(self, run: RunWork, assignment: Assignment) -> None:
        """See a task through until the aggregator has what came of it, or does not want it.

        What an earlier agent signed, and did not get rid of before it ended, is handed in
        as it is.

        Raises:
            TrustError: The aggregator does not know this site any more.
            ProtocolError: It speaks another language.
        """
        history = await asyncio.to_thread(self._here.journal.open)
        if other := other_run(history, run.run_id, run.submitted_ms):
            logger.error("%s; no task of it is performed", other)
            return
        await self._evidence_stands(run)
        async with self._locks[run.run_id], self._progress(run, assignment) as progress:
            find = partial(self._folder, run.run_id, assignment, sealed=self._is_sealed(run))
            folder = await self._here.retry_while_disk_full(find)
            await self._recover(run, folder)
            asked = self._with_newest(run, assignment)
            task_run = TaskRun(
                *(self._here, self._reviewer, self._workers, self._rosters, folder, run, asked, progress),
                self._evidence,
            )
            try:
                await self._see_through(task_run)
            except ENDS_AGENT:
                raise
            except Exception as error:  # the outermost edge of a task
                logger.exception("%s failed: an error that was not foreseen", task_run, extra=task_run.facts)
                await self._hand_in(task_run, task_run.failed(_unforeseen(error)))

    async def _evidence_stands(self, run: RunWork) -> None:
        """Wait until the evidence that a run's plan asks for is there, and accepted."""
        try:
            plan = self._here.plans.manifest(run.plan_digest).plan
        except HanseError:  # it is fetched where the task begins, which then looks again
            return
        await self._evidence.stands(plan, run.run_id)

    def _with_newest(self, run: RunWork, assignment: Assignment) -> Assignment:
        """An assignment with the exchange that counted last, also where that did while this one waited.

        Where results are summed masked, what counts is part of the question that all members answer.
        """
        run_id = run.run_id
        with suppress(HanseError):  # a plan that is not here yet is fetched where the task begins
            if self._here.plans.manifest(run.plan_digest).plan.privacy.secure_aggregation is not None:
                return assignment
        if self._counted.get(run_id, 0) >= assignment.exchange:
            # The aggregator has forgotten it: a backup was restored.
            del self._counted[run_id]
        newest = max(assignment.accepted, self._counted.get(run_id, 0))
        return assignment.model_copy(update={"accepted": newest})

    def _is_sealed(self, run: RunWork) -> bool:
        """Check if a run is sealed and this site has sealed runs; if it has none, the task fails."""
        with suppress(HanseError):  # a plan that is not here yet
            sealed = self._here.plans.manifest(run.plan_digest).plan.sealed
            return sealed is not None and self._here.memory is not None
        return False

    def _note_counted(self, run_id: str, exchange: int) -> None:
        self._counted[run_id] = exchange

    async def _see_through(self, task_run: TaskRun) -> None:
        try:
            # By the plan alone; whether this site has agreed to it is looked at where a task begins.
            await self._here.retry_while_disk_full(partial(self._reviewer.manifest, task_run.run))
        except _FAILURES as error:
            logger.error("%s failed: %s", task_run, error, extra=task_run.facts)
            return await self._hand_in(task_run, task_run.failed(error))
        if task_run.masked:
            task_run.progress.even = True  # before the data are looked at
            return await self._masked.see_through(task_run)
        said = None
        if task_run.folder.has_residuals_of(task_run.assignment.exchange):
            look = partial(asyncio.to_thread, self._said_before, task_run)
            said = await self._here.retry_while_disk_full(look)
        await self._hand_in(task_run, said or await self._outcome(task_run))

    async def _recover(self, run: RunWork, folder: RunFolder) -> None:
        if run.run_id in self._recovered:
            return
        here = self._here
        what = here.journal, here.identity, folder, run.run_id, run.plan_digest
        await here.retry_while_disk_full(partial(asyncio.to_thread, recover_releases, *what))
        self._recovered.add(run.run_id)

    async def end_run(self, run_id: str) -> None:
        """End the worker of a run that is over, and delete what came for it; its local state stays."""
        async with self._locks[run_id]:
            try:
                folder = await self._folder(run_id, sealed=self._in_memory(run_id))
                await asyncio.to_thread(self._here.blobs.reclaim)
                forget_run(self._here.directory, run_id)
                await self._workers.end_run(run_id)
                if folder.sealed:
                    await asyncio.to_thread(delete_tree, folder.work.parent)
                # What a worker left that died with an earlier agent is still there.
                await asyncio.to_thread(empty_temporary, folder.work)
            except StorageError as error:  # it takes room, and is no reason to end
                logger.warning("run %s: %s", run_id, error)
                await self._workers.end_run(run_id)
            self._masked.end_run(run_id)
            self._receipts.forget(run_id)
            self._recovered.discard(run_id)
            self._counted.pop(run_id, None)

    def _in_memory(self, run_id: str) -> bool:
        return self._here.memory is not None and self._here.run_folder(run_id, sealed=True).exists()

    async def _folder(
        self, run_id: str, task: Assignment | None = None, *, sealed: bool = False
    ) -> RunFolder:
        """The folder of a run, with nothing of earlier tasks than models that this one starts from."""
        folder = RunFolder(self._here.run_folder(run_id, sealed=sealed), sealed=sealed)
        if task is None:
            folder.clear()
            folder.mark_ended()
        else:
            folder.mark_under_way()
            base = None if task.delta is None else task.delta.base
            groups = (ModelRef(file.digest) for file in task.groups.values())
            folder.clear([model for model in (task.model, base, *groups) if model], task.exchange)
        return folder

    @asynccontextmanager
    async def _progress(self, run: RunWork, assignment: Assignment) -> AsyncIterator[Progress]:
        """Tell the aggregator of progress as long as this lasts."""
        request = ProgressRequest(run_id=run.run_id, exchange=assignment.exchange)
        show = partial(self._show, request)
        progress = Progress(show, run.progress_s, first_s=self._here.first_sign_s)
        watching = asyncio.create_task(progress.watch())
        try:
            yield progress
        finally:
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
            if isinstance(ended, Exception):  # a fault of ours, which must not look like a worker that hangs
                raise ended

    async def _show(self, request: ProgressRequest) -> None:
        try:
            await self._here.retry(partial(self._here.upstream.progress, request))
        except HanseError as error:  # what matters of it, the question for work meets too
            logger.info("run %s: progress was not taken: %s", request.run_id, error)

    async def _outcome(self, task_run: TaskRun) -> TaskOutcome:
        try:
            return await task_run.carry_out()
        except _FAILURES as error:
            printed = {"printed": error.log_tail} if isinstance(error, TaskError) else {}
            logger.error("%s failed: %s", task_run, error, extra=task_run.facts | printed)
            return task_run.failed(error)

    def _said_before(self, task_run: TaskRun) -> TaskOutcome | None:
        """What an earlier agent signed about this very task, if it can still be handed in.

        What compression left out is settled first, whichever agent performed what counted.
        """
        task_run.folder.residuals.apply_acceptance(task_run.assignment.accepted, task_run.assignment.exchange)
        statement = task_run.folder.outcome(task_run.assignment.exchange)
        if statement is None:
            return None
        if self._evidence.instance_in(self._here.plans.manifest(task_run.run.plan_digest).plan) is not None:
            return None  # the host of this machine can write the file, and the instance vouches for its own
        try:
            own, purpose = self._here.identity, purpose_of_outcome(statement)
            outcome = check_own(statement, TaskOutcome, purpose, own.credentials, own.own_keys())
        except (TrustError, ProtocolError) as error:
            logger.warning("%s: what was kept of it does not count: %s", task_run, error)
            return None
        return task_run.stated_again(outcome) if task_run.answered_by(outcome) else None

    async def _hand_in(self, task_run: TaskRun, outcome: TaskOutcome, *, of_data: bool = False) -> None:
        here, folder, exchange = self._here, task_run.folder, outcome.exchange

        async def keep() -> None:
            folder.keep_outcome(exchange, statement)  # a line of text, and the disk is not waited for

        # Recorded before it is signed: what is signed names the record. What an earlier agent has recorded
        # of this outcome stands already.
        if outcome.journal is None:
            record = partial(asyncio.to_thread, task_run.recorded, outcome, of_data=of_data)
            outcome = await here.retry_while_disk_full(record)
        statement = state(here.identity.signing_key, TASK_RESULT, outcome)
        # Kept before it leaves, so that an agent that comes after this one says the same.
        await here.retry_while_disk_full(keep)
        counts = False
        left = await asyncio.to_thread(_contents, outcome, folder.outgoing(exchange))
        await self._evidence_stands(task_run.run)
        try:
            if outcome.update is not None:
                deliver = partial(here.upstream.deliver, outcome.update.digest, folder.leaving(exchange))
                await here.retry_while_disk_full(deliver)
            await here.deliver_final(partial(self._receipts.submit, statement, outcome))
            logger.info("%s: sent: %s", task_run, _told(outcome, left), extra=task_run.facts)
            if counts := outcome.outcome == "done":
                self._note_counted(task_run.run.run_id, exchange)
        except RunError as error:
            logger.warning("%s: the result is discarded: %s", task_run, error, extra=task_run.facts)
        except _REFUSED as error:
            logger.error("%s: the aggregator refuses the result: %s", task_run, error, extra=task_run.facts)
            if outcome.outcome == "done":  # told that it failed, the run need not wait for it
                failed = task_run.failed(error).model_copy(update={"roster": outcome.roster})
                return await self._hand_in(task_run, failed)
        with suppress(StorageError):  # what is left is seen to before the next task
            (folder.residuals.accept if counts else folder.residuals.refuse)(exchange)
            folder.drop_update(exchange)
            if outcome.outcome == "failed":
                folder.forget_outcome(exchange)  # a run that is resumed asks again, and then it counts


def _unforeseen(error: Exception) -> InternalError:
    """The error to state in place of one whose message may hold anything."""
    return InternalError(f"an unforeseen {type(error).__name__}; the site's own log has its trace")


def _contents(outcome: TaskOutcome, file: Path) -> str:
    """Contents of the file of an outcome in words; empty where none goes with it."""
    if outcome.update is None:
        return ""
    names: Iterable[str] = ()
    with suppress(HanseError, OSError):  # whether it can leave is not decided here
        names = read_specs(file)
    return contents_in_words(names, outcome.update.size)


def _told(outcome: TaskOutcome, left: str) -> str:
    """What left the site, for its log."""
    if outcome.outcome == "failed":
        return f"failed: {outcome.reason}"
    told = [f"{outcome.num_examples} examples"]
    told += [
        f"{name} {'not given' if value is None else f'{value:.6g}'}"
        for name, value in outcome.metrics.items()
    ]
    if outcome.update is not None:
        told.append(f"{left}, digest {outcome.update.digest}")
    return ", ".join(told)
