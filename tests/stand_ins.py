"""Stand-ins for what takes long: a run's worker process, and the supervisor that starts it."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run_worker import process as run_worker
from hanse.core.run.run import TERMINAL
from hanse.sandbox.async_channel import AsyncChannel
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined
from hanse.sandbox.process import WorkerSpec


class ThreadWorker:
    """In place of a worker process: the run worker's `main`, on a thread, over a real channel."""

    started: list[ThreadWorker]
    """All that were started in this test."""
    layers = Confined((), files=False, network=False, processes=False, gaps=())
    exceeded = None

    def __init__(self, ours: AsyncChannel, theirs: socket.socket, spec: WorkerSpec) -> None:
        self.channel = ours
        self.confined = self.layers
        self._theirs = theirs
        self._killed = False
        self._thread = threading.Thread(target=self._live, args=(spec.arguments,))
        self._thread.start()

    @classmethod
    async def start(cls, spec: WorkerSpec) -> ThreadWorker:
        ours, theirs = socket.socketpair()
        worker = cls(await AsyncChannel.over(ours), theirs, spec)
        cls.started.append(worker)
        return worker

    def _live(self, arguments: tuple[str, ...]) -> None:
        try:
            run_worker.main(Channel(self._theirs.fileno()), self.confined, arguments)
        finally:
            self._hang_up()

    def kill(self) -> None:
        """End it at once, as it seems to the service."""
        self._killed = True
        self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError):  # the service did so first
            self._theirs.shutdown(socket.SHUT_RDWR)

    async def stop(self, grace_s: float = 5.0) -> str:
        self.channel.close()
        await asyncio.to_thread(self._thread.join)
        self._theirs.close()
        return "was killed by SIGKILL" if self._killed else "ended"

    def log_tail(self, lines: int = 20) -> str:
        return ""


class IdleSupervisor:
    """In place of a supervisor: the run has its clock, and no workflow."""

    def __init__(self, controller: RunController, dependencies: object) -> None:
        self._controller = controller

    async def supervise(self) -> None:
        clock = asyncio.create_task(self._controller.keep_time())
        try:
            await self._controller.in_phase(*TERMINAL)
        finally:
            clock.cancel()
