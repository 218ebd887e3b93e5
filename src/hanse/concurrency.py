"""Concurrency: signals that wake who waits, work on threads, and work that must not be cut off."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Signals:
    """Named conditions; belongs to one event loop."""

    def __init__(self) -> None:
        # Dictionaries keep the order in which they came: who waits first looks first, every time.
        self._waiting: defaultdict[Hashable, dict[asyncio.Event, None]] = defaultdict(dict)

    def notify(self, keys: Iterable[Hashable]) -> None:
        """Have everyone who waits for one of the keys look again."""
        for key in keys:
            for event in self._waiting.get(key, ()):
                event.set()

    async def until(
        self, keys: Iterable[Hashable], look: Callable[[], T | None], timeout_s: float | None = None
    ) -> T | None:
        """Wait until there is something to see.

        Args:
            keys: What to be notified of.
            look: Looks at once, and again at each notification; gives None where there is nothing
                yet. What it raises ends the wait.
            timeout_s: Longest wait; None for no end.

        Returns:
            What was seen; None where the time was over first.
        """
        keys = tuple(keys)
        changed = asyncio.Event()
        for key in keys:
            self._waiting[key][changed] = None
        try:
            async with asyncio.timeout(timeout_s):
                while (found := look()) is None:
                    await changed.wait()
                    changed.clear()
                return found
        except TimeoutError:
            return None
        finally:
            for key in keys:
                self._waiting[key].pop(changed, None)
                if not self._waiting[key]:
                    del self._waiting[key]


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do something that must not be left half done: being cancelled meanwhile takes effect after it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


_threads = ThreadPoolExecutor(2 * (os.cpu_count() or 1), thread_name_prefix="bulk")
"""Apart from the event loop's own threads, so that no journal waits behind somebody's large file."""


async def in_thread(
    work: Callable[[], T],
    *,
    undo: Callable[[T], object] | None = None,
    stop: Callable[[], object] | None = None,
    threads: Executor = _threads,
) -> T:
    """Run blocking work on a thread; when cancelled, wait for its end first.

    A thread cannot be stopped: whoever closes its file has to wait.

    Args:
        work: What to do.
        undo: Called with what came of it when nobody is left to take that: closes what was opened.
        stop: Called when nobody is left to wait for it: makes it end soon.
        threads: Which run it.
    """
    future = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        await asyncio.wait({future})
        failed = future.exception()  # it is looked at, so that nobody is told that it never was
        if undo is not None and failed is None:
            undo(future.result())
        raise
