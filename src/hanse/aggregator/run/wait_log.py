"""Lines of the log about what a run waits for."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hanse.aggregator.run.controller import RunController
from hanse.core.values.wording import and_more
from hanse.wire.messages.runs import RunStatus
from hanse.wire.wording import format_waits

logger = logging.getLogger(__name__)

_SILENCE_S = 5.0
"""Shortest silence of a run after which the log names the sites that are awaited."""
_MOST_NAMED = 20


async def log_waits(controller: RunController, status: Callable[[], RunStatus]) -> None:
    """Log what a run waits for, once each time that nothing has happened for a while, until cancelled."""
    while True:
        seen = controller.events
        if await controller.wait_for_events(seen, _SILENCE_S):
            continue
        listed = "; ".join(and_more(format_waits(status()), _MOST_NAMED))
        logger.info("run %s waits for %s", controller.run.run_id, listed or "its own workflow")
        await controller.wait_for_events(seen)
