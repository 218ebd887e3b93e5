"""An event loop in virtual time: one thread, no clock, and all that is left to chance drawn from one seed.

Time stands still while anything can run, and then jumps to the next timer. What the services do on
threads is done here by the loop, at a moment left to chance. What is a process of its own elsewhere
is a `Process` here: it can be killed between any two callbacks, and then nothing of it runs any more,
no `finally` either.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from tests.deterministic.dying import Died

T = TypeVar("T")


class Process:
    """What dies at once.

    Attributes:
        name: Which one.
        alive: Whether it runs.
        mourners: Told of its death.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.mourners: list[Callable[[], object]] = []

    def kill(self) -> None:
        """End it as by kill -9."""
        if self.alive:
            self.alive = False
            for mourn in self.mourners:
                mourn()


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
"""Whose callback it is that runs."""


class StuckError(AssertionError):
    """Nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Args:
        random: Chooses among what may happen next.
        dies: Asked before and after each piece of work on a thread whether its process dies there.
    """

    def __init__(self, random: Random, dies: Callable[[Process, str], bool]) -> None:
        super().__init__()
        self._random = random
        self._dies = dies
        self._now = 0.0
        self._kept: list[tuple[asyncio.Task[Any], Process | None]] = []
        self._dead: list[asyncio.Handle] = []
        """What would have happened next in processes that were killed."""
        self.slowest_s = 0.005
        """Longest that a piece of work waits for its thread, and its result for the loop."""
        self.steps = 0
        self.faults: list[str] = []
        """What went wrong where nobody was to hear of it."""
        # Tasks of a process that was killed must not be collected: their `finally` would run.
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _, context: self.faults.append(str(context)))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def spawn(self, process: Process | None, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin something as a part of a process."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, name=name, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> Any:
        """Have work done as if on a thread: at some moment, and its result is heard at another."""
        future = self.create_future()

        def work() -> None:
            process = PROCESS.get()
            if process is not None and self._dies(process, "before work on a thread"):
                return
            try:
                result, error = func(*args), None
            except Died:
                return
            except BaseException as raised:  # it is for whoever waits
                result, error = None, raised
            if process is None or not self._dies(process, "after work on a thread"):
                self.call_later(self._soon_s(), settle, result, error)

        def settle(result: Any, error: BaseException | None) -> None:
            if future.done():
                return  # nobody waits any more
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.call_later(self._soon_s(), work)
        return future

    def end(self) -> None:
        """Let go of everything: of what was killed, too, whose last words nobody hears."""
        self.set_exception_handler(lambda _, context: None)
        for _ in range(20):
            pending = [(task, process) for task, process in self._kept if not task.done()]
            if not pending:
                break
            for task, process in pending:
                if process is not None:
                    process.alive = True
                task.cancel()
            dead, self._dead = self._dead, []
            self._ready.extend(dead)
            self.call_later(60, self.stop)
            self.run_forever()
        for task, _ in self._kept:
            if task.done() and not task.cancelled():
                task.exception()
        self._kept.clear()
        self.close()

    def _make_task(self, loop: Any, work: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        context = more.get("context")
        self._kept.append((task, PROCESS.get() if context is None else context.get(PROCESS)))
        return task

    def _soon_s(self) -> float:
        return self._random.random() * self.slowest_s

    def _run_once(self) -> None:
        """One callback."""
        self._take_due()
        if not self._ready:
            if not self._scheduled:
                raise StuckError("nothing will ever happen again")
            self._now = max(self._now, self._scheduled[0]._when)
            self._take_due()
        handle = self._ready.popleft()
        process = handle._context.get(PROCESS)
        if handle._cancelled:
            return
        if process is not None and not process.alive:
            self._dead.append(handle)
            return
        self.steps += 1
        handle._run()

    def _take_due(self) -> None:
        due = []
        while self._scheduled and (self._scheduled[0]._when <= self._now or self._scheduled[0]._cancelled):
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            else:
                due.append(timer)
        if len(due) > 1:
            self._random.shuffle(due)
        self._ready.extend(due)

    def _write_to_self(self) -> None:
        """There is no other thread that could wake it."""

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""


async def never() -> Any:
    """What waits here waits for ever: its process is dead."""
    await events.get_running_loop().create_future()
