"""Notices: text for a site's own log, or for the output of a simulation, which never travels."""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

MOST = 20
"""Notices that are kept of one task."""
LONGEST = 4_000
"""Characters of a notice."""

_MOST_OF_A_PLACE = 3
"""Warnings from one line of code that are noted, each with another text."""

logger = logging.getLogger(__name__)

_warned: defaultdict[tuple[type[Warning], str, int], set[str]] = defaultdict(set)
"""Warnings noted by this process, by their kind and the line of code that they come from."""

_kept: ContextVar[list[str] | None] = ContextVar("kept", default=None)


def notice(text: str) -> None:
    """Say something that a person at the site should know, and no other party need.

    Args:
        text: May name what is in the site's data. Cut off after `LONGEST` characters; the same text counts
            once a task.
    """
    text, kept = _encodable(text), _kept.get()
    if kept is None:
        logger.warning("%s", text)
    else:
        _keep(kept, text)


@contextmanager
def notices_kept() -> Iterator[list[str]]:
    """Keep the notices of this block in a list, in place of the log of the process.

    Warnings of the user's code and of libraries (`warnings.warn`) become notices, from whichever thread.
    """
    kept: list[str] = []
    token = _kept.set(kept)
    shown = warnings.showwarning
    warnings.showwarning = _Warned(kept)
    try:
        yield kept
    finally:
        warnings.showwarning = shown
        _kept.reset(token)


class _Warned:
    """Takes the place of `warnings.showwarning`, whose argument names are given."""

    def __init__(self, kept: list[str]) -> None:
        self._kept = kept

    def __call__(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
    ) -> None:
        # The names of the last folders say which library it is; the way there is the machine's.
        place = "/".join(Path(filename).parts[-2:])
        text = _encodable(f"{category.__name__} of {place}:{lineno}: {message}")
        told = _warned[category, filename, lineno]
        if text in told or len(told) < _MOST_OF_A_PLACE:
            told.add(text)
            _keep(self._kept, text)


def _encodable(text: str) -> str:
    # Labels and names of columns come from data, and may hold what no encoding knows.
    return text.encode("utf-8", "backslashreplace").decode()[:LONGEST]


def _keep(kept: list[str], text: str) -> None:
    if text not in kept and len(kept) < MOST:
        kept.append(text)
