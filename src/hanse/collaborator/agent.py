"""The trusted process at a site: asks the aggregator what it wants, and sees to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.site_evidence import SiteEvidence
from hanse.collaborator.prune import keep_pruned
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.restored import Restored, find_restore, forget_note, hold_back, noticed_before
from hanse.collaborator.review import Reviewer
from hanse.collaborator.rosters import settle_signing_key
from hanse.collaborator.run_folder import RunFolder, ended_at
from hanse.collaborator.startup import check_settings
from hanse.collaborator.task_worker.pool import Workers
from hanse.collaborator.tasks import ENDS_AGENT, Tasks
from hanse.config.layout import RUNS
from hanse.errors import HanseError, ProtocolError, StorageError, TrustError, VersionError
from hanse.files.lock import DirectoryLock
from hanse.pki.clock_skew import skew
from hanse.wire.messages.sites import NextRequest, RunSuspension, Work
from hanse.wire.wording import format_suspension

logger = logging.getLogger(__name__)

_WAIT_S = 30.0
"""How long a question for work waits; a proxy on the way may cut longer ones off."""

_SHORTEST_WAIT_S = 1.0
"""Shortest wait, so that an agent whose certificate cannot be renewed does not ask without end."""

_REVIEW = 0
"""Stands for the review of a run's plan, where its exchanges count from 1."""
_EVIDENCE = -1
"""Stands for exchanges of evidence, as long as the run lasts."""
_Key = tuple[str, int]
"""A run, and one of its exchanges."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Something that is being seen to, or was.

    Attributes:
        asked_ms: Tells apart when the same is asked again: the deadline it came with.
    """

    task: asyncio.Task[None]
    asked_ms: int


class Agent:
    """Sees to all that the aggregator wants of this site.

    What is wanted comes as a whole each time: what is new is begun, what is not listed
    any more is ended. So nothing is lost with a message, an agent or an aggregator.

    Args:
        context: The site.
    """

    def __init__(self, context: SiteContext) -> None:
        self._here = replace(context, retry_policy=replace(context.retry_policy, on_retry=self._note_failure))
        self._reviewer = Reviewer(self._here)
        self._workers = Workers(self._here, self._reviewer.bring_code)
        self._receipts = ReceiptKeeper(self._here)
        self._evidence = SiteEvidence(self._here, self._reviewer)
        self._receipts.say = self._evidence.say
        self._tasks = Tasks(self._here, self._reviewer, self._workers, self._receipts, self._evidence)
        self._jobs: dict[_Key, _Job] = {}
        self._runs: set[str] = set()
        self._noted: dict[str, tuple[str, int | None]] | None = None
        self._suspensions: dict[str, RunSuspension] = {}
        self._waiting = ""
        self._cut_off = False
        self._serving: asyncio.Task[None] | None = None
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop` is called; not at all where it was called before.

        Raises:
            ConfigError: The settings are another site's, or would show the site's key to plan code.
            StorageError: Another agent uses this folder.
            TamperedError: The site's journal is damaged.
            TrustError: The site was removed from the federation, or the aggregator cannot be trusted.
            ProtocolError: Something else than an aggregator answers there.
        """
        here = self._here
        check_settings(here.directory, here.settings, here.identity.credentials)
        if self._stopping:
            return
        with DirectoryLock(self._here.directory, holder="collaborator"):
            await asyncio.to_thread(self._here.journal.open)
            self._here.drop_leftovers()
            self._serving = asyncio.create_task(self._serve())
            try:
                await self._serving
            except ExceptionGroup as errors:
                # A site that was removed learns it in several places at once.
                raise errors.exceptions[0] from None
            except asyncio.CancelledError:
                if not self._stopping:
                    raise

    async def stop(self) -> None:
        """End the work; returns when all workers have ended. The next agent goes on where this one was."""
        logger.info("stopping")
        self._stopping = True
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})

    async def _serve(self) -> None:
        working = asyncio.create_task(self._work())
        held = asyncio.create_task(self._receipts.held.wait())
        try:
            await asyncio.wait({working, held}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return await working
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self._workers.close()
            await self._receipts.hold_back(self._renew, self._here.remind_s)
        finally:
            for task in (working, held):
                task.cancel()
            await asyncio.gather(working, held, return_exceptions=True)
            await self._workers.close()
            await self._here.upstream.close()
            self._here.journal.close()
            self._evidence.close()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            await self._greet()
            await self._settle_signing_key()
            await self._check_restored()
            await self._receipts.connect()
            await self._follow(group)

    async def _greet(self) -> None:
        here = self._here
        logger.info("connecting to %s as %s", here.settings.aggregator, here.identity.credentials.party.uri)
        hello = await here.retry(here.upstream.hello)
        if hello.federation != here.identity.federation:
            raise TrustError(
                f"{here.settings.aggregator} serves the federation {hello.federation}, and this site is of "
                f"{here.identity.federation}",
                mend="Check `aggregator` in site.yaml.",
            )
        clock = skew(hello, here.now_ms / 1000)
        if clock.wrong:
            logger.warning(
                "this machine's clock is %+.0f s from the aggregator's: set it by NTP", clock.ahead_s
            )
        logger.info("connected to the aggregator of %s, Hanse %s", hello.federation, hello.version)

    async def _settle_signing_key(self) -> None:
        here = self._here
        settle = partial(settle_signing_key, here.directory, here.identity, here.upstream)
        await here.retry_while_disk_full(settle)

    async def _check_restored(self) -> None:
        """Serve nothing where the journal lacks records that this site has signed; else nothing happens."""
        here = self._here

        async def find() -> Restored | None:
            return await find_restore(here.journal, here.identity.credentials, here.upstream, here.now_ms)

        try:
            restored = await here.retry_while_disk_full(find)
        except VersionError:
            raise
        except ProtocolError as error:  # no answer to this question may stop a site
            logger.warning("%s", error)
            restored = await noticed_before(here.journal, here.directory)
        if restored is None:
            forget_note(here.directory)
        else:
            await hold_back(restored, here.directory, self._renew, here.remind_s)

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        """Ask for work again and again; each question waits until the answer is another."""
        here = self._here
        runs = here.directory / RUNS
        # Without those whose end an earlier agent has logged.
        self._runs = {path.name for path in runs.glob("*/") if ended_at(path) is None}
        for run_id in self._runs:
            try:
                await asyncio.to_thread(lambda path: RunFolder(path).drop_damaged(), runs / run_id)
            except StorageError as error:  # the next task of this run says what follows
                logger.warning("run %s: its models cannot be looked through: %s", run_id, error)
        known, pruning = "", False
        while True:
            await self._renew()
            question = NextRequest(known=known, wait_s=self._wait_s())
            work = await here.retry_while_disk_full(partial(here.upstream.next, question))
            if self._cut_off:
                self._cut_off = False
                logger.info("the aggregator answers again")
                await self._receipts.connect()  # it may have been restored from a backup meanwhile
            await self._receipts.heed(work.restored)
            self._reconcile(group, work)
            if not pruning:  # only now it is known which runs continue
                group.create_task(keep_pruned(self._here))
                pruning = True
            known = work.version

    async def _renew(self) -> None:
        try:
            await self._here.retry(partial(self._here.identity.renew_if_due, self._here.upstream))
        except StorageError as error:  # there is time: the next turn tries again
            logger.warning("the certificate cannot be renewed now: %s", error)

    def _wait_s(self) -> float:
        """Seconds that a question may wait: the certificate has to outlast the question."""
        return max(min(_WAIT_S, self._here.identity.renewal_due_s()), _SHORTEST_WAIT_S)

    def _reconcile(self, group: asyncio.TaskGroup, work: Work) -> None:
        """Begin what is new, end what is not listed any more."""
        self._note_runs(work)
        self._tasks.board.post(work)
        self._evidence.post(work)
        self._log_suspensions({run.run_id: run.suspension for run in work.runs if run.suspension})
        wanted = {key: (asked_ms, see_to) for key, asked_ms, see_to in self._wanted(work)}
        for key in [key for key in self._jobs if key not in wanted]:
            task = self._jobs.pop(key).task
            if task not in self._here.uncancellable_tasks:
                task.cancel()
        for key, (asked_ms, see_to) in wanted.items():
            job = self._jobs.get(key)
            if job is None or (job.task.done() and job.asked_ms != asked_ms):
                task = group.create_task(_contained(see_to, key[0]))
                task.add_done_callback(self._say_what_is_awaited)
                self._jobs[key] = _Job(task, asked_ms)
        listed = {run.run_id for run in work.runs}
        for run_id in sorted(self._runs - listed):
            logger.info("run %s is over for this site", run_id)
            group.create_task(_contained(partial(self._tasks.end_run, run_id), run_id))
        self._runs = listed
        self._say_what_is_awaited()

    def _note_runs(self, work: Work) -> None:
        noted = {run.run_id: (run.plan_digest, run.submitted_ms) for run in work.runs}
        if noted == self._noted:
            return
        try:
            plans = {run.run_id: run.plan_digest for run in work.runs}
            self._here.plans.note_runs(plans, {run.run_id: run.submitted_ms for run in work.runs})
            self._noted = noted
        except StorageError as error:  # a person's answer then waits until a run asks again
            logger.warning("the runs of each plan cannot be noted: %s", error)

    def _wanted(self, work: Work) -> Iterator[tuple[_Key, int, Callable[[], Coroutine[Any, Any, None]]]]:
        for run in work.runs:
            if run.review:
                answer = self._reviewer.kept(run.plan_digest)
                decided_ms = answer.body.decided_ms if answer else 0
                yield (run.run_id, _REVIEW), decided_ms, partial(self._reviewer.review, run)
            if run.evidence is not None:
                yield (run.run_id, _EVIDENCE), 0, partial(self._evidence.keep, run.run_id)
            for asked in run.assignments:
                settle = partial(self._tasks.run, run, asked)
                yield (run.run_id, asked.exchange), asked.deadline_ms, settle

    def _say_what_is_awaited(self, ended: asyncio.Task[None] | None = None) -> None:
        """Log what the site waits for, once, as soon as it has nothing to do."""
        busy = any(not job.task.done() for key, job in self._jobs.items() if key[1] != _EVIDENCE)
        broken_off = ended is not None and (ended.cancelled() or ended.exception())
        if self._stopping or busy or broken_off:
            self._waiting = ""
            return
        waiting = f"the next task of {', '.join(sorted(self._runs))}" if self._runs else "a run"
        if waiting != self._waiting:
            logger.info("waiting for %s", waiting)
        self._waiting = waiting

    def _log_suspensions(self, runs: dict[str, RunSuspension]) -> None:
        """Log in which runs the site is suspended, once each, and in which it no longer is."""
        for run_id, suspension in runs.items():
            if self._suspensions.get(run_id) != suspension:
                logger.warning(
                    "run %s: this site is suspended: %s. The run's operator can reinstate the site at once, "
                    "by: hanse run reinstate %s %s",
                    *(run_id, format_suspension(suspension), run_id, self._here.settings.name),
                )
        for run_id in self._suspensions.keys() - runs.keys():
            logger.info("run %s: this site is no longer suspended", run_id)
        self._suspensions = runs

    def _note_failure(self, error: HanseError, attempt: int, delay_s: float) -> None:
        self._cut_off = True
        # For an upgrade a person has to act; whatever else fails may pass.
        level = logging.ERROR if isinstance(error, VersionError) else logging.WARNING
        logger.log(level, "try %d failed: %s; the next in %.1f s", attempt, error, delay_s)


async def _contained(job: Callable[[], Coroutine[Any, Any, None]], run_id: str) -> None:
    """Do a job of one run: an error that was not foreseen ends the job alone; the log has its trace."""
    try:
        await job()  # made here: a task that is cancelled before it begins leaves none behind
    except ENDS_AGENT:
        raise
    except Exception:
        logger.exception("run %s: an error that was not foreseen; the agent continues", run_id)
