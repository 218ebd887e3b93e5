"""Processes of a site's task workers: how many there are, which are idle, and which are being ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from hanse.config.units import format_duration
from hanse.sandbox.process import WorkerProcess

logger = logging.getLogger(__name__)

ENDING_S = 60.0
"""Time that the plan's code has to end, where nothing else waits for it, in seconds."""


@dataclass(frozen=True, slots=True)
class _Idle:
    """A worker without a task, and what ends it in time; None where nothing does."""

    worker: WorkerProcess
    timer: asyncio.TimerHandle | None


class WorkerPlaces:
    """Places for so many workers, one a run.

    A worker has its place until it has ended and its temporary files are gone, so a run's next worker
    never meets the one before it. An end that has begun is not interrupted when its caller is
    cancelled. For one run, one call is made after another.

    Args:
        most: Most workers at a time; no more callers hold one, or start one, at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._starting = 0
        self._all: dict[WorkerProcess, None] = {}
        self._idle: dict[str, _Idle] = {}
        """By run; the one that was used longest ago comes first."""
        self._ending: dict[str, asyncio.Task[str]] = {}
        """By run, what ends its worker."""

    async def take(self, run_id: str) -> WorkerProcess | None:
        """The idle worker of a run, which is the caller's then; waits for one that is being ended."""
        while (ending := self._ending.get(run_id)) is not None:
            await asyncio.wait({ending})
        return self._taken(run_id)

    async def start(self, run_id: str, start: Callable[[], Awaitable[WorkerProcess]]) -> WorkerProcess:
        """Start a worker for a run that has none, as soon as there is room; idle ones make it."""
        while len(self._all) + self._starting >= self._most:
            await self._make_room(run_id)
        self._starting += 1
        try:
            worker = await start()
            self._all[worker] = None
        finally:
            self._starting -= 1
        return worker

    def keep(self, run_id: str, worker: WorkerProcess, idle_s: float | None) -> None:
        """Take a worker back that has done its task.

        Args:
            run_id: The run.
            worker: Its worker.
            idle_s: When to end it if it gets no other task, in seconds from now; None: not before its run.
        """
        timer = None
        if idle_s is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(idle_s, self._end_idle, run_id, worker, idle_s)
        self._idle[run_id] = _Idle(worker, timer)

    async def end(self, run_id: str, worker: WorkerProcess, grace_s: float) -> str:
        """End a run's worker, whose place is free then; says how it ended."""
        ending = self._begin_end(run_id, worker, grace_s)
        await asyncio.wait({ending})
        return ending.result()

    async def end_run(self, run_id: str) -> str | None:
        """End the idle worker of a run that is over; says how it ended, None where there is none."""
        worker = await self.take(run_id)
        return None if worker is None else await self.end(run_id, worker, ENDING_S)

    async def close(self) -> None:
        """End all workers at once."""
        for run_id in tuple(self._idle):
            self._taken(run_id)
        hurried = tuple(self._ending.values())
        for ending in hurried:
            ending.cancel()
        await asyncio.gather(*hurried, return_exceptions=True)
        for worker in tuple(self._all):
            await self._end(worker, grace_s=0)

    async def _make_room(self, run_id: str) -> None:
        """Wait until some worker has ended: the one that was idle longest, else any that is being ended."""
        if self._idle:
            other = next(iter(self._idle))
            logger.info("run %s: its idle worker makes room for one of run %s", other, run_id)
            await self.end(other, self._idle[other].worker, grace_s=0)
        else:
            await asyncio.wait(set(self._ending.values()), return_when=asyncio.FIRST_COMPLETED)

    def _end_idle(self, run_id: str, worker: WorkerProcess, idle_s: float) -> None:
        ending = self._begin_end(run_id, worker, ENDING_S)
        ending.add_done_callback(partial(_log_end, run_id, idle_s))

    def _begin_end(self, run_id: str, worker: WorkerProcess, grace_s: float) -> asyncio.Task[str]:
        """From now on the run has no worker, and `take` waits for the end of this one."""
        if (ending := self._ending.get(run_id)) is not None:  # its caller before this one was cancelled
            return ending
        self._taken(run_id)
        ending = asyncio.create_task(self._end(worker, grace_s))
        self._ending[run_id] = ending
        ending.add_done_callback(partial(self._forget, run_id))
        return ending

    def _forget(self, run_id: str, ending: asyncio.Task[str]) -> None:
        if self._ending.get(run_id) is ending:
            del self._ending[run_id]

    async def _end(self, worker: WorkerProcess, grace_s: float) -> str:
        ended = await worker.stop(grace_s)
        self._all.pop(worker, None)
        return ended

    def _taken(self, run_id: str) -> WorkerProcess | None:
        idle = self._idle.pop(run_id, None)
        if idle is None:
            return None
        if idle.timer is not None:
            idle.timer.cancel()
        return idle.worker


def _log_end(run_id: str, idle_s: float, ending: asyncio.Task[str]) -> None:
    if ending.cancelled():  # all workers end
        return
    if error := ending.exception():
        logger.error("run %s: its idle worker could not be ended", run_id, exc_info=error)
        return
    spoken = format_duration(idle_s)
    logger.info(
        "run %s: its worker %s after %s without a task, as `worker: {idle: %s}` says; the run's next task "
        "starts another",
        *(run_id, ending.result(), spoken, spoken),
    )
