"""A service in the foreground: from its start until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop

from hanse.cli.main import INTERRUPTED

logger = logging.getLogger(__name__)

_YOUNG_OBJECTS = 10_000
"""Objects after whose allocation the garbage collector looks at young ones; Python's default is 700."""


def run_until_stopped(service: Coroutine[Any, Any, None]) -> int:
    """Run a service until it ends, or SIGTERM or Ctrl-C asks it to.

    It is asked by cancelling it; whoever does not want to wait for it to end sends the signal again.

    Returns:
        What the process should end with.
    """
    received: list[int] = []
    _collect_garbage_less_often()

    async def run() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(service)

        def stop(number: int) -> None:
            received.append(number)
            logger.info("stopping: %s was received", signal.Signals(number).name)
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(each)
            task.cancel()

        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop, each)
        try:
            await task
        except asyncio.CancelledError:
            if not received:
                raise

    uvloop.run(run())
    if received:
        logger.info("stopped")
    return INTERRUPTED if signal.SIGINT in received else 0


def _collect_garbage_less_often() -> None:
    """Exempt modules from garbage collection, and collect less often.

    A service makes many messages and states, all without cycles, which are freed when the last
    reference goes: the collector would walk the state of all runs and find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
