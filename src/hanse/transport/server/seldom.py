"""A log that strangers cannot fill: of many warnings of one kind it shows the first, and counts the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping


class SeldomLog:
    """Logs the first warnings of a period, and with the next period's first how many were left out.

    Args:
        logger: Where warnings go.
        most: Warnings of one period that are shown.
        period_s: Length of a period, seconds.
        clock: Seconds that pass, from any start.
    """

    def __init__(
        self,
        logger: logging.Logger,
        most: int = 20,
        period_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._most = most
        self._period_s = period_s
        self._clock = clock
        self._began = float("-inf")
        self._count = 0

    def warning(self, text: str, *arguments: object, extra: Mapping[str, object] | None = None) -> None:
        """As `logging.Logger.warning`, if the period has not had its warnings yet."""
        if self.shows():
            self._logger.warning(text, *arguments, extra=extra)

    def shows(self) -> bool:
        """Count one more, and say whether it is to be shown."""
        now = self._clock()
        if now - self._began >= self._period_s:
            left_out = self._count - self._most
            self._began, self._count = now, 0
            if left_out > 0:
                self._logger.warning("left out %d more warnings like the following", left_out)
        self._count += 1
        return self._count <= self._most
