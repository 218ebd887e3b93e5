"""Notices: text for a site's own log, or for the output of a simulation, which never travels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MOST = 20
"""Notices that are kept of one task."""
LONGEST = 4_000
"""Characters of a notice."""

logger = logging.getLogger(__name__)

_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def notice(text: str) -> None:
    """Say something that a person at the site should know, and no other party need.

    Args:
        text: May name what is in the site's data. Cut off after `LONGEST` characters; the same text counts
            once a task.
    """
    # Labels and names of columns come from data, and may hold what no encoding knows.
    text = text.encode("utf-8", "backslashreplace").decode()[:LONGEST]
    kept = _kept.get()
    if kept is None:
        logger.warning("%s", text)
    elif text not in kept and len(kept) < MOST:
        kept.append(text)


@contextmanager
def notices_kept() -> Iterator[list[str]]:
    """Keep the notices of this block in a list, in place of the log of the process."""
    kept: list[str] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)
