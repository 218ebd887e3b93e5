"""Trying again, with waits that grow and are left to chance, for errors that may pass."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from hanse.errors import HanseError, TransportError, VersionError

T = TypeVar("T")


OnRetry = Callable[[HanseError, int, float], None]
"""Told the error, how many tries have failed, and the wait in seconds, before each wait."""


def tell_nobody(error: HanseError, attempt: int, delay_s: float) -> None:
    """Keep it quiet that a try failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how soon to try again.

    The wait after the n-th failure in a row is drawn evenly from 0 to
    `first_s * 2**(n - 1)` seconds, at most `longest_s`: many sites that lost the
    same aggregator do not come back at the same moment.

    Attributes:
        attempts: Most tries in all; None for no end.
        give_up_s: Longest from the first failure to the last try, seconds; None for no end.
        first_s: Longest wait after the first failure.
        longest_s: Longest wait after any.
        upgrade_s: Longest wait for the other end to be upgraded, where the two have no version of the
            protocol in common; None not to wait for that.
        on_retry: Told of each failure before the wait.
        sleep: Waits.
        uniform: Draws from [0, 1).
        clock: Seconds from any beginning on.
    """

    attempts: int | None = None
    give_up_s: float | None = None
    first_s: float = 0.5
    longest_s: float = 30.0
    upgrade_s: float | None = None
    on_retry: OnRetry = tell_nobody
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


async def retrying(call: Callable[[], Awaitable[T]], retry: Retry) -> T:
    """Call until something other than a `TransportError` comes of it.

    Raises:
        TransportError: The last one, after `retry.attempts` tries, or when `retry.give_up_s` is over.
        VersionError: The other end has to be upgraded, or this one, and that is not waited for.
    """
    failed, began_s = 0, 0.0
    while True:
        try:
            return await call()
        except (TransportError, VersionError) as error:
            now_s, failed = retry.clock(), failed + 1
            began_s = now_s if failed == 1 else began_s
            left_s = math.inf if retry.give_up_s is None else began_s + retry.give_up_s - now_s
            waits = isinstance(error, TransportError) or retry.upgrade_s is not None
            if failed == retry.attempts or not waits or left_s <= 0:
                raise
            delay_s = min(_delay_s(error, failed, retry), left_s)
            retry.on_retry(error, failed, delay_s)
        await retry.sleep(delay_s)


def _delay_s(error: HanseError, failed: int, retry: Retry) -> float:
    if isinstance(error, VersionError) and retry.upgrade_s is not None:
        # By people, and so not within a moment; and they read the log, to which each try adds a line.
        return retry.upgrade_s * (1 + retry.uniform()) / 2
    # Bounded before it is raised to a power: a float cannot hold 2**1024.
    return retry.uniform() * min(retry.longest_s, retry.first_s * 2.0 ** min(failed - 1, 64))
