"""Coroutines for callers without await: each runs on an event loop of its own, in a thread.

A notebook's own loop is already running, in the thread that runs the cells.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


def wait_for(what: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine to its end; Ctrl-C cancels it.

    Args:
        what: Makes it.
    """

    async def one() -> AsyncIterator[T]:
        yield await what()

    (found,) = iterate(one)
    return found


def iterate(source: Callable[[], AsyncIterator[T]]) -> Generator[T]:
    """Give what an asynchronous iterator gives; to close this, or Ctrl-C, cancels it.

    Args:
        source: Makes the iterator.
    """
    pump = _Pump(source)
    try:
        yield from pump.items()
    finally:
        pump.cancel()


class _Pump(Generic[T]):
    """Takes items out of an asynchronous iterator, in a thread."""

    def __init__(self, source: Callable[[], AsyncIterator[T]]) -> None:
        self._source = source
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="hanse-connect", daemon=True)
        self._is_asked_to_start = False

    def items(self) -> Iterator[T]:
        """Items as they come; raises what the iterator raised."""
        self._is_asked_to_start = True  # before the start, in whose midst Ctrl-C may come
        self._thread.start()
        while True:
            item = self._items.get()
            if not isinstance(item, _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return

    def cancel(self) -> None:
        """End the iterator, if it has not ended, and wait for the thread."""
        if not self._is_asked_to_start:
            return
        self._begun.wait()
        if self._loop is not None and self._task is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has closed meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._take_all())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._items.put(_End(error))
        else:
            self._items.put(_End())
        finally:
            self._begun.set()

    async def _take_all(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._begun.set()
        async for item in self._source():
            self._items.put(item)


class _End:
    """The end of the items, with the error that was the reason."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
