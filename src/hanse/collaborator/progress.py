"""Whether a task gets on, told to the aggregator while it does: a hung worker is told by silence."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

LEAST_EVEN_S = 1.0
"""Shortest time between beats of an even pace, whatever the aggregator asks for."""

HUNG_S = 600.0
"""A worker without a sign of life for so long may hang."""

Sign = Callable[[], object]
"""Something that is not what it was before if the task got on; called on a thread."""

_GROUP, _CPU = 2, slice(11, 15)
"""Process group, and user and system time of itself and its ended children, in /proc/PID/stat."""


class Progress:
    """Signs of life of one task; of a short one, its result is the only one.

    Attributes:
        sign: What to look at now.
        even: Whether beats leave at an even pace, whatever the worker does: those that follow the worker show
            how long it computed. That a worker hangs is then for the log of the site alone.
        begun_s: When the task began, by a clock that never jumps: when a worker first got the order, and
            all that it computes from was here; None before.
    """

    def __init__(
        self, report: Callable[[], Awaitable[None]], interval_s: float, *, first_s: float = 1.0
    ) -> None:
        """Prepare; `watch` begins.

        Args:
            report: Tells the aggregator.
            interval_s: How often it wants to be told.
            first_s: When to tell it first, where that is sooner.
        """
        self.sign: Sign = always()
        self.even = False
        self.begun_s: float | None = None
        self._ordered = False
        self._report = report
        self._interval_s = interval_s
        self._first_s = min(first_s, interval_s)

    def note_inputs(self) -> None:
        """Note that all that a worker computes from is here."""
        self.begun_s = asyncio.get_running_loop().time()

    def note_order(self) -> None:
        """Note that a worker got the order, after its turn came; the first of several counts."""
        if not self._ordered:
            self._ordered, self.begun_s = True, asyncio.get_running_loop().time()

    async def watch(self) -> None:
        """Report that the task has begun, and then whenever the sign has changed; until it is cancelled."""
        await asyncio.sleep(self._first_s)
        await self._report()
        before: object = None
        while not self.even:
            await asyncio.sleep(self._interval_s)
            if self.even:
                break
            now = await asyncio.to_thread(self.sign)
            if now != before:
                await self._report()
            before = now
        looking = asyncio.create_task(self._look_for_hung())
        try:
            while True:
                await self._report()
                await asyncio.sleep(max(self._interval_s, LEAST_EVEN_S))
        finally:
            looking.cancel()

    async def _look_for_hung(self) -> None:
        """Log once that a worker has shown no sign of life for long."""
        logged = False
        before = await asyncio.to_thread(self.sign)
        while True:
            await asyncio.sleep(HUNG_S)
            now = await asyncio.to_thread(self.sign)
            if now == before and not logged:
                logger.warning("a task has shown no sign of life for %.0f s: its worker may hang", HUNG_S)
            logged, before = now == before, now


def always() -> Sign:
    """The sign of what ends by itself in bounded time."""
    return itertools.count().__next__


def cpu_time(group: int) -> object:
    """Processor time that a process group has used, threads included; only good for comparison.

    Args:
        group: Process id of the group's leader.
    """
    if not Path("/proc/self/stat").exists():
        return _cpu_time_by_ps(group)
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile, or is not for us to see
            # The command's name stands in brackets and may hold anything, brackets too.
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[_GROUP]) == group:
                total += sum(map(int, fields[_CPU]))
    return total


def _cpu_time_by_ps(group: int) -> object:
    listed = subprocess.run(
        ("ps", "-A", "-o", "pgid=,time="), capture_output=True, text=True, check=False, timeout=30
    )
    return [line for line in listed.stdout.splitlines() if line.split()[0] == str(group)]
