"""Keeps a run's worker going: starts it, answers it, starts it again when it dies."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from hanse.aggregator.calls import CALLS, Call, FailCall, FinishCall, Reply
from hanse.aggregator.controller import RunController
from hanse.aggregator.hosting import WorkflowHost, Workspace
from hanse.config.load import write_bundle
from hanse.core.commands import Fail, RestartWorker
from hanse.core.run import Phase
from hanse.errors import HanseError, ProtocolError
from hanse.sandbox.confine import Confinement
from hanse.sandbox.process import WorkerProcess, WorkerSpec
from hanse.storage.base import BlobStore

logger = logging.getLogger(__name__)

_GRACE_S = 1.0


class Limits(Protocol):
    """Makes a worker's confinement from what it has to read and write."""

    def __call__(self, *, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
        """The confinement."""
        ...


class Supervisor:
    """Runs the workflow of one run in a worker process until the run ends.

    Attributes:
        controller: The run.
    """

    def __init__(self, controller: RunController, blobs: BlobStore, directory: Path, limits: Limits) -> None:
        """Prepare; nothing starts yet.

        Args:
            controller: The run.
            blobs: The aggregator's blobs.
            directory: The run's own folder.
            limits: Makes the worker's confinement from `read` and `write` paths.
        """
        self.controller = controller
        self._blobs = blobs
        self._directory = directory
        self._limits = limits

    async def supervise(self) -> None:
        """Drive the run from its start to its end; cancelled when the service stops."""
        controller = self.controller
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(controller.keep_time())
            try:
                while await self._wait_until_running():
                    await self._work_once()
            finally:
                clock.cancel()

    async def _wait_until_running(self) -> bool:
        controller = self.controller
        while True:
            async with controller.signals.watching(controller.run.run_id) as changed:
                if controller.run.phase is Phase.RUNNING:
                    return True
                if controller.run.phase is not Phase.SUBMITTED:
                    return False
                await changed.wait()

    async def _work_once(self) -> None:
        """One life of the worker."""
        try:
            worker, workspace = await self._start()
        except HanseError as error:
            await self.controller.execute(Fail(error.code, f"the run's worker cannot start: {error}"))
            return
        host = WorkflowHost(self.controller, self._blobs, workspace)
        serving = asyncio.create_task(self._serve(worker, host))
        ended = asyncio.create_task(self._until_run_ends())
        try:
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not ended.done():
                serving.result()
                await self._note_death(worker)
        finally:
            for task in (serving, ended):
                task.cancel()
            await asyncio.gather(serving, ended, return_exceptions=True)
            await worker.stop(_GRACE_S)
            workspace.clear()

    async def _start(self) -> tuple[WorkerProcess, Workspace]:
        run = self.controller.run
        bundle = self._directory / "bundle"
        write_bundle(run.manifest, self._blobs.path, bundle)
        work = self._directory / "work"
        workspace = Workspace(work, self._blobs, share=False)
        spec = WorkerSpec(
            module="hanse.aggregator.worker",
            arguments=(str(bundle), str(work)),
            workspace=work,
            environment={},
            log=self._directory / "worker.log",
            confinement=self._limits(read=(bundle, workspace.inbox), write=(workspace.outbox,)),
        )
        return await WorkerProcess.start(spec), workspace

    async def _serve(self, worker: WorkerProcess, host: WorkflowHost) -> None:
        """Answer the worker until it ends; its plan comes first."""
        await worker.channel.send({"plan": self.controller.run.plan.model_dump(mode="json")})
        while True:
            message = await worker.channel.receive()
            if message is None:
                return
            try:
                call: Call = CALLS.validate_python(message)
            except ValidationError as error:
                raise ProtocolError(f"the run's worker asked for what is not known: {error}") from error
            try:
                done = await host.handle(call)
            except HanseError as error:
                reply = Reply(error=error.code, message=error.message[:8192], mend=error.mend)
            else:
                reply = Reply(ok={} if done is None else done.model_dump(mode="json"))
            await worker.channel.send(reply.model_dump(mode="json"))
            if isinstance(call, FinishCall | FailCall):
                return

    async def _until_run_ends(self) -> None:
        controller = self.controller
        while True:
            async with controller.signals.watching(controller.run.run_id) as changed:
                if controller.run.phase is not Phase.RUNNING:
                    return
                await changed.wait()

    async def _note_death(self, worker: WorkerProcess) -> None:
        if self.controller.run.phase is not Phase.RUNNING:
            return
        reason = f"the run's worker {await worker.wait()}"
        tail = worker.log_tail()
        logger.warning("run %s: %s; %s", self.controller.run.run_id, reason, tail)
        await self.controller.execute(RestartWorker(f"{reason}: {tail[-500:]}" if tail else reason))
