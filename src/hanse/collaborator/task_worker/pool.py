"""Task workers: one a run, kept warm between its tasks, and only so many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from hanse.collaborator.context import SiteContext
from hanse.collaborator.progress import Progress, always
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.task_worker.places import WorkerPlaces
from hanse.collaborator.task_worker.protocol import Order, Setup, TaskReport, read_report
from hanse.config.layout import IDENTITY, JOURNAL
from hanse.core.plan.manifest import Manifest
from hanse.errors import (
    ConfigError,
    PolicyError,
    ProtocolError,
    StorageError,
    TaskError,
    TransportError,
    UpdateError,
    rebuild,
)
from hanse.fault_points import FaultPoint, reach_async
from hanse.pki.credentials import KEY_FILE
from hanse.pki.signing_key import SIGNING_KEY_FILE
from hanse.sandbox.confine import Confined, Confinement, default_processes
from hanse.sandbox.environment import arithmetic_threads
from hanse.sandbox.process import WorkerProcess, WorkerSpec

logger = logging.getLogger(__name__)

MOST_WORKERS = 4
"""Most workers at a time, busy and idle; further tasks wait for their turn."""

_MOST_NOTICES = 100
"""Notices of one run, besides those of tasks that fail."""

_REPORTED = (ConfigError, StorageError, UpdateError)
"""What a worker may say that a task failed with, besides a `TaskError`."""


class Workers:
    """The task workers of a site.

    Args:
        context: The site.
        bring_code: Has the code of a plan in its place, whole; called before a worker starts.
        most: Most workers at a time.
    """

    def __init__(
        self,
        context: SiteContext,
        bring_code: Callable[[Manifest], Awaitable[None]],
        most: int = MOST_WORKERS,
    ) -> None:
        self._here = context
        self._bring_code = bring_code
        self._turns = asyncio.Semaphore(most)
        self._places = WorkerPlaces(most)
        self._told_gaps: tuple[str, ...] = ()
        self._noted: dict[str, set[str]] = {}
        """By run, what the site's log has said of its tasks."""

    async def carry_out(
        self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order, progress: Progress
    ) -> TaskReport:
        """Have the worker of a run perform a task; it is started where there is none.

        Cancelled, or when it fails, the worker is ended.

        Returns:
            What it says; nobody has checked it.

        Raises:
            TaskError: The user's code failed, or the worker died; with the end of its log.
            ConfigError, PolicyError, StorageError, UpdateError: What the worker met, or stands against
                starting it.
        """
        async with self._turns:
            progress.sign = always()
            worker = await self._begin(run_id, manifest, folder, order)
            progress.note_order()
            progress.sign = partial(self._here.cpu_time_of, worker.pid)
            try:
                report = await _report(worker, order)
            except BaseException:
                await self._places.end(run_id, worker, grace_s=0)
                raise
            finally:
                progress.sign = always()
            if manifest.plan.sealed is not None:
                # Words of plan code could hold the model, and the agent's log is on a disk.
                report = report.model_copy(update={"notices": [], "log_tail": ""})
            if report.error and manifest.plan.script is not None:
                # Run again, a script may have to do what a process can do only once.
                await self._places.end(run_id, worker, grace_s=0)
            else:
                self._places.keep(run_id, worker, self._idle_s(manifest))
            for notice in self._new_notices(run_id, report):
                logger.warning("run %s: %s of round %d: %s", run_id, order.task, order.round_number, notice)
            return _checked(report)

    async def end_run(self, run_id: str) -> None:
        """End the worker of a run that is over, after what its code does at the end."""
        self._noted.pop(run_id, None)
        if (ended := await self._places.end_run(run_id)) is not None:
            logger.info("run %s: its worker %s", run_id, ended)

    async def close(self) -> None:
        """End all workers, at once: their runs go on later."""
        await self._places.close()

    def _new_notices(self, run_id: str, report: TaskReport) -> list[str]:
        """Notices of a task that the log has not had in this run, also from a worker before this one."""
        if report.error:
            return report.notices  # they may say why it failed
        noted = self._noted.setdefault(run_id, set())
        new = [text for text in report.notices if text not in noted][: _MOST_NOTICES - len(noted)]
        noted.update(new)
        return new

    async def _begin(self, run_id: str, manifest: Manifest, folder: RunFolder, order: Order) -> WorkerProcess:
        """Give the order to the run's worker, or to a new one where that has died in idleness."""
        worker = await self._places.take(run_id) or await self._start(run_id, manifest, folder)
        try:
            if not await _tell(worker, order):
                logger.warning(
                    "run %s: its idle worker %s", run_id, await self._places.end(run_id, worker, grace_s=0)
                )
                worker = await self._start(run_id, manifest, folder)
                await _tell(worker, order)
        except BaseException:
            await self._places.end(run_id, worker, grace_s=0)
            raise
        return worker

    async def _start(self, run_id: str, manifest: Manifest, folder: RunFolder) -> WorkerProcess:
        async def start() -> WorkerProcess:
            await self._bring_code(manifest)
            return await self._here.worker_process.start(self._spec(manifest, folder))

        worker = await self._places.start(run_id, start)
        if manifest.plan.script is not None and self._here.settings.worker.idle is not None:
            logger.info(
                "run %s: its worker is kept while it has no task: a script's variables live in it", run_id
            )
        try:
            self._check(worker.confined)
        except PolicyError:
            await self._places.end(run_id, worker, grace_s=0)
            raise
        return worker

    def _idle_s(self, manifest: Manifest) -> float | None:
        """When to end a worker of a plan that has no task, in seconds; None: not before its run.

        What a learner keeps is written down after each task; a script's variables live in its process.
        """
        return None if manifest.plan.script is not None else self._here.settings.worker.idle

    def _spec(self, manifest: Manifest, folder: RunFolder) -> WorkerSpec:
        here, settings = self._here, self._here.settings
        digest, sealed = manifest.digest, manifest.plan.sealed is not None
        # What the plan does not name it does not see, whatever else the site has.
        data = {name: path for name, path in settings.data.items() if name in manifest.plan.data}
        plan, bundle = here.plans.file(digest).absolute(), here.plans.bundle(digest).absolute()
        setup = Setup(
            manifest=str(plan),
            digest=digest,
            bundle=str(bundle),
            site=here.identity.site,
            data={name: str(path) for name, path in data.items()},
        )
        threads = settings.worker.threads
        return WorkerSpec(
            module="hanse.collaborator.task_worker.process",
            workspace=folder.work.absolute(),
            # Of a sealed run nothing comes to a disk; the network is refused, and not just withheld.
            log=None if sealed else folder.log,
            confinement=Confinement(
                read=(plan, bundle, folder.models.absolute(), *filter(Path.exists, data.values())),
                network=settings.worker.network,
                memory_bytes=settings.worker.memory,
                processes=settings.worker.processes or default_processes(),
                disk_reserve=None if sealed else settings.disk_reserve,
                in_memory=sealed,
                secrets=(
                    (here.directory / IDENTITY / KEY_FILE).absolute(),
                    (here.directory / IDENTITY / SIGNING_KEY_FILE).absolute(),
                    (here.directory / JOURNAL).absolute(),
                    *here.evidence.secrets,
                ),
            ),
            arguments=(setup.model_dump_json(),),
            environment={} if threads is None else arithmetic_threads(threads),
        )

    def _check(self, confined: Confined) -> None:
        """Hold what confines a worker against what the settings require."""
        settings = self._here.settings
        locked_in = confined.locked_in(network=settings.worker.network)
        gaps = "; ".join(confined.gaps)
        if settings.sandbox == "required" and not locked_in:
            raise PolicyError(
                f"site.yaml says `sandbox: required`, and plan code cannot be locked in here: {gaps}",
                mend="`hanse doctor` says what this machine lacks.",
            )
        if confined.gaps and confined.gaps != self._told_gaps:
            self._told_gaps = confined.gaps
            logger.warning("plan code is not fully locked in on this machine: %s", gaps)


async def _tell(worker: WorkerProcess, order: Order) -> bool:
    """Give an order; whether the worker was there to take it."""
    await reach_async(FaultPoint.BEFORE_ORDER, task=order.task, round_number=order.round_number)
    told = True
    try:
        await worker.channel.send(order.model_dump())
    except TransportError:
        told = False
    await reach_async(FaultPoint.AFTER_ORDER, task=order.task, round_number=order.round_number)
    return told


async def _report(worker: WorkerProcess, order: Order) -> TaskReport:
    """Wait for what comes of an order."""
    try:
        message = await worker.channel.receive()
        if message is not None:
            report = read_report(message)
            await reach_async(FaultPoint.AFTER_REPORT, task=order.task, round_number=order.round_number)
            return report
    except ProtocolError as error:
        raise TaskError(f"the worker gave no report on task {order.task}: {error}") from error
    ended, during = await worker.wait(), f"during task {order.task}"
    if (limit := worker.exceeded) is not None:
        raise TaskError(
            f"the worker was ended {during} because {limit.what}", mend=limit.mend, log_tail=worker.log_tail()
        )
    raise TaskError(f"the worker {ended} {during}", log_tail=worker.log_tail())


def _checked(report: TaskReport) -> TaskReport:
    """Raise the error that a worker reports, if it is one that it can know of."""
    if not report.error:
        return report
    error = rebuild(report.error, report.reason, report.mend)
    if isinstance(error, _REPORTED):
        raise error
    raise TaskError(report.reason, mend=report.mend, log_tail=report.log_tail)
