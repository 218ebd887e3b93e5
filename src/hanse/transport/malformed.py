"""What comes to the port and is no HTTP: told by the log in a line, without aiohttp's stack trace."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

logger = logging.getLogger(__name__)
"""For aiohttp to log with."""


def _in_words(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        # Its own words quote what came, over several lines.
        record.msg = f"refused what is no HTTP request ({type(error).__name__}): {record.msg}"
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return True


logger.addFilter(_in_words)
