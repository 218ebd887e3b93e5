"""List of what the aggregator waits for in each exchange, as the last reply with work states it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hanse.concurrency import Signals
from hanse.wire.messages.sites import Work
from hanse.wire.messages.sums import SumAsked

ExchangeKey = tuple[str, int]
"""A run, and one of its exchanges."""


class Board:
    """Holds the last `SumAsked` of each exchange, for the jobs that wait for the next."""

    def __init__(self) -> None:
        self._asked: dict[ExchangeKey, SumAsked | None] = {}
        self._signals = Signals()

    def post(self, work: Work) -> None:
        """Take in a complete list of work; an exchange that is not listed is over for this site."""
        listed = {
            (run.run_id, asked.exchange): asked.secure_sum for run in work.runs for asked in run.assignments
        }
        changed = {
            key for key in self._asked.keys() | listed.keys() if self._asked.get(key) != listed.get(key)
        }
        changed |= self._asked.keys() ^ listed.keys()
        self._asked = listed
        self._signals.notify(changed)

    async def next(self, key: ExchangeKey, seen: SumAsked | None = None) -> SumAsked | None:
        """Wait for something else than what was seen.

        An exchange that is listed without a sum waits: its result never leaves unmasked.

        Returns:
            What is waited for; None where the exchange is over for this site.
        """
        found = await self._signals.until((key,), lambda: self._look(key, seen))
        return found[0] if found else None

    def lists(self, key: ExchangeKey) -> bool:
        """Check if an exchange is in the list."""
        return key in self._asked

    async def until_over(self, key: ExchangeKey) -> None:
        """Wait until an exchange is over for this site."""
        await self._signals.until((key,), lambda: None if self.lists(key) else True)

    def _look(self, key: ExchangeKey, seen: SumAsked | None) -> tuple[SumAsked | None] | None:
        if key not in self._asked:
            return (None,)
        asked = self._asked[key]
        return None if asked is None or asked == seen else (asked,)


async def first_of(waits: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until one of several is done; the others are ended."""
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        ended = await asyncio.gather(*waits, return_exceptions=True)
    for found in ended:
        if isinstance(found, Exception):
            raise found
