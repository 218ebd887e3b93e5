"""Keeps a run's worker going: starts it, answers it, starts it again when it dies."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from hanse.aggregator.blobs.model_deltas import ModelDeltas
from hanse.aggregator.blobs.retention import Retention, superseded
from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run_worker.host import CallHandler
from hanse.aggregator.run_worker.protocol import MAX_REASON, Call, FailCall, FinishCall, Reply, read_call
from hanse.aggregator.run_worker.workspace import Workspace
from hanse.aggregator.sealed.runs import SealedRuns
from hanse.aggregator.sums.layouts import SumLayouts
from hanse.concurrency import to_the_end
from hanse.config.bundle import write_bundle
from hanse.core.run.lifecycle import Fail, RestartWorker
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.values.safe_text import last_lines, outgoing_line, without_paths
from hanse.errors import (
    ConfigError,
    HanseError,
    ProtocolError,
    RunError,
    SealError,
    StorageError,
    TamperedError,
    TransportError,
)
from hanse.fault_points import FaultPoint, reach_async
from hanse.sandbox.confine import Confinement
from hanse.sandbox.environment import arithmetic_threads
from hanse.sandbox.process import StartsWorkers, WorkerProcess, WorkerSpec
from hanse.storage.base import BlobStore

logger = logging.getLogger(__name__)

_GRACE_S = 1.0
_STORAGE_TRIES = 12
"""Lives in a row that may end for want of storage before the run fails; it takes some minutes."""
_LONGEST_PAUSE_S = 60.0
_TAIL = 500
_FACTS = {"call", "round_number", "task"}
"""Of a call, for the points around it."""
_OWN_TREE = "own file tree"
"""The layer of a confinement that shows a worker what it may read on a read-only mount."""


class MakeConfinement(Protocol):
    """Makes a worker's confinement from what it has to read and write."""

    def __call__(self, *, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
        """The confinement."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerDependencies:
    """What the workers of all runs have in common.

    Attributes:
        directory: Holds a folder for each run.
        blobs: The aggregator's blobs.
        retention: Deletes those that have had their use.
        model_deltas: Makes models travel in fewer bytes.
        layouts: Layouts of masked sums.
        sealed: Knows where the files of sealed runs are.
        limits: Makes a worker's confinement.
        max_bytes: Largest file that is taken from a worker.
        worker_process: Starts workers.
    """

    directory: Path
    blobs: BlobStore
    retention: Retention
    model_deltas: ModelDeltas
    layouts: SumLayouts
    sealed: SealedRuns
    limits: MakeConfinement
    max_bytes: int
    worker_process: StartsWorkers


class Supervisor:
    """Runs the workflow of one run, in one worker after another, until the run ends."""

    def __init__(self, controller: RunController, dependencies: WorkerDependencies) -> None:
        self._controller = controller
        self._dependencies = dependencies
        self._directory = dependencies.directory / controller.run.run_id
        self._blobs = dependencies.blobs

    async def supervise(self) -> None:
        """Drive the run from where it stands to its end; cancelled when the service stops."""
        controller, tries = self._controller, 0
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(controller.keep_time())
            while await controller.in_phase(Phase.RUNNING, *TERMINAL) is Phase.RUNNING:
                seen = controller.events
                try:
                    self._find_files()
                    await self._run_one_worker()
                    tries = 0
                except (ConfigError, SealError) as error:  # by the settings, it is not to run here any more
                    logger.error("run %s cannot continue: %s", controller.run.run_id, error)
                    await controller.execute(Fail(error.code, self._words(str(error))))
                except StorageError as error:
                    # Nothing is lost: the next worker begins again from the last commit.
                    tries = 1 if controller.events > seen else tries + 1
                    if isinstance(error, TamperedError):
                        tries = _STORAGE_TRIES  # to read the same again cannot help
                    await self._wait_for_storage(error, tries)
            clock.cancel()

    def _find_files(self) -> None:
        """Have the run's files where they belong: those of a sealed run in memory.

        Raises:
            ConfigError: The run is sealed, and this aggregator has no sealed runs.
            StorageError: There is no room for them.
        """
        dependencies, run = self._dependencies, self._controller.run
        self._blobs = dependencies.sealed.blobs_of(run)
        self._directory = dependencies.sealed.directory(run, dependencies.directory / run.run_id)

    async def _run_one_worker(self) -> None:
        """One life of the worker.

        Raises:
            StorageError: The disk is full, or the journal cannot be written.
        """
        dependencies = self._dependencies
        # A run that was taken up again may have begun its round anew.
        await dependencies.retention.collect(superseded(self._controller.before_last_commit))
        workspace = await asyncio.to_thread(
            Workspace,
            self._directory,
            self._blobs,
            max_bytes=dependencies.max_bytes,
            algorithm=self._controller.run.plan.digests,
        )
        try:
            worker = await self._start(workspace)
            if worker is not None:
                await self._work(worker, workspace)
        finally:
            await to_the_end(self._clean_up(workspace))

    async def _clean_up(self, workspace: Workspace) -> None:
        await asyncio.to_thread(workspace.delete)
        if self._controller.run.phase in TERMINAL:
            self._dependencies.model_deltas.forget(self._controller.run.run_id)
            await asyncio.to_thread(self._dependencies.sealed.forget, self._controller.run)
        await self._dependencies.retention.collect(
            superseded(self._controller.before_last_commit) | workspace.taken
        )

    async def _start(self, workspace: Workspace) -> WorkerProcess | None:
        """Start the worker; None where that cannot be, and the run has failed for it."""
        run, blobs, sealed = (
            self._controller.run,
            self._dependencies.blobs,
            self._controller.run.plan.sealed is not None,
        )
        bundle = self._directory / "bundle"
        try:
            await asyncio.to_thread(write_bundle, run.manifest, blobs.path, bundle)
            spec = WorkerSpec(
                module="hanse.aggregator.run_worker.process",
                arguments=(str(bundle), str(workspace.inbox), str(workspace.outbox)),
                workspace=workspace.outbox,
                log=None if sealed else self._directory / "worker.log",
                confinement=self._confinement(bundle, workspace, sealed=sealed),
                # With another number, linear algebra rounds differently: a workflow that is started again
                # would not ask what it asked before, nor what it asks in a simulation.
                environment=arithmetic_threads(1),
            )
            worker = await self._dependencies.worker_process.start(spec)
        except HanseError as error:
            if isinstance(error, StorageError) and not isinstance(error, TamperedError):
                raise
            reason = self._words(f"the run's worker cannot start: {error}")
            logger.error("run %s: the run's worker cannot start: %s", run.run_id, error)
            await self._controller.execute(Fail(error.code, reason))
            return None
        if worker.confined.gaps:
            logger.warning("run %s: %s", run.run_id, "; ".join(worker.confined.gaps))
        # Under Landlock alone a worker could still change the mode of a file, and so of the blob that it is.
        workspace.share = _OWN_TREE in worker.confined.layers
        return worker

    def _confinement(self, bundle: Path, workspace: Workspace, *, sealed: bool) -> Confinement:
        made = self._dependencies.limits(read=(bundle, workspace.inbox), write=())
        # Of a sealed run nothing comes to a disk; the memory folder has a bound of its own.
        return replace(made, network=False, in_memory=True, disk_reserve=None) if sealed else made

    async def _work(self, worker: WorkerProcess, workspace: Workspace) -> None:
        """Serve the worker until it ends, or the run does."""
        serving = asyncio.create_task(self._serve(worker, workspace))
        ended = asyncio.create_task(self._controller.in_phase(*TERMINAL))
        try:
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            how = await to_the_end(_end(worker, serving, ended))
        if not serving.cancelled():
            if worker.exceeded is not None:
                how = f"{how}. {worker.exceeded.mend}"
            await self._note_death(serving.result() or how, worker.log_tail())

    async def _serve(self, worker: WorkerProcess, workspace: Workspace) -> str:
        """Answer the worker, which gets its plan first, until it ends; what it did wrong, if it did."""
        dependencies = self._dependencies
        host = CallHandler(
            self._controller,
            self._blobs,
            dependencies.retention,
            workspace,
            dependencies.model_deltas,
            dependencies.layouts,
        )
        message: dict[str, Any] = {"plan": self._controller.run.plan.model_dump(mode="json")}
        try:
            await worker.channel.send(await asyncio.to_thread(workspace.post, message))
            while (asked := await worker.channel.receive()) is not None:
                call = read_call(asked)
                message = await _answer(host, call)
                await worker.channel.send(await asyncio.to_thread(workspace.post, message))
                if isinstance(call, FinishCall | FailCall):
                    break
        except ProtocolError as error:
            return f"cannot be understood: {error}"
        except TransportError:
            pass  # it died before the answer
        return ""

    async def _note_death(self, how: str, tail: str) -> None:
        """Have the run know that its worker ended before the run did."""
        if self._controller.run.phase is not Phase.RUNNING:
            return
        reason = f"the run's worker {how}"
        logger.warning("run %s: %s", self._controller.run.run_id, reason, extra={"printed": tail})
        with suppress(RunError):  # it ended meanwhile
            # The journal is exported: no paths of this machine, and no more of the print-out.
            told = outgoing_line(f"{reason}: {last_lines(without_paths(tail), _TAIL)}" if tail else reason)
            await self._controller.execute(RestartWorker(told))

    def _words(self, text: str) -> str:
        """Words of the service for the journal: its own files are named as from its folder."""
        folder = self._dependencies.directory.parent.absolute()
        return outgoing_line(text.replace(f"{folder}/", ""))

    async def _wait_for_storage(self, error: StorageError, tries: int) -> None:
        run_id = self._controller.run.run_id
        logger.error("run %s cannot continue (try %d of %d): %s", run_id, tries, _STORAGE_TRIES, error)
        if tries >= _STORAGE_TRIES:
            with suppress(StorageError):  # as long as not even that can be written, it goes on trying
                await self._controller.execute(Fail(error.code, self._words(str(error))))
        pause_s = min(2.0 ** min(tries - 1, 10), _LONGEST_PAUSE_S)
        await self._controller.in_phase(*TERMINAL, timeout_s=pause_s)


async def _end(worker: WorkerProcess, *tasks: asyncio.Task[Any]) -> str:
    """End what goes on about a worker, and the worker; says how it ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return await worker.stop(_GRACE_S)


async def _answer(host: CallHandler, call: Call) -> dict[str, Any]:
    facts = call.model_dump(include=_FACTS)
    try:
        await reach_async(FaultPoint.BEFORE_CALL, **facts)
        done = await host.handle(call)
        await reach_async(FaultPoint.AFTER_CALL, **facts)
    except StorageError:
        raise  # ours to fix, not the workflow's
    except HanseError as error:
        reply = Reply(error=error.code, message=error.message[:MAX_REASON], mend=error.mend)
    else:
        reply = Reply(ok={} if done is None else done.model_dump(mode="json"))
    return reply.model_dump(mode="json")
