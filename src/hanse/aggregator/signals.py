"""Waking whoever waits for something to change, without polling."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager


class Signals:
    """Named conditions. To miss nothing, look at the state inside `watching`, then wait."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Hashable, set[asyncio.Event]] = defaultdict(set)

    @asynccontextmanager
    async def watching(self, *keys: Hashable) -> AsyncIterator[asyncio.Event]:
        """An event that is set as soon as any of the keys is notified from now on."""
        event = asyncio.Event()
        for key in keys:
            self._waiting[key].add(event)
        try:
            yield event
        finally:
            for key in keys:
                self._waiting[key].discard(event)
                if not self._waiting[key]:
                    del self._waiting[key]

    def notify(self, keys: Iterable[Hashable]) -> None:
        """Wake everyone who watches one of the keys."""
        for key in keys:
            for event in self._waiting.get(key, ()):
                event.set()


async def wait_for(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event, at most so long; whether it was set."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
