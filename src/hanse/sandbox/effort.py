"""Cost of one look at a worker, bounded: a worker that has too much to be looked at could hide in it."""

from __future__ import annotations

import time

MOST_OPEN_FILES = 65_536
"""Open files of all processes of a worker together."""
_MOST_S = 2.0
"""Seconds of processor time of one look."""


class TooMuchToLookAtError(Exception):
    """A worker has too much of something to be looked at in time; says what."""


class Effort:
    """Remainder of one look, by the thread that takes it.

    Args:
        files: Open files that may be looked at.
        seconds: Processor time that it may take; a machine that is busy otherwise costs none.
    """

    def __init__(self, files: int = MOST_OPEN_FILES, seconds: float = _MOST_S) -> None:
        self._files, self._most = files, files
        self._until = time.thread_time() + seconds

    def spend(self, files: int = 0) -> None:
        """Count open files that are about to be looked at, and the time so far.

        Raises:
            TooMuchToLookAtError: There are too many, or it takes too long.
        """
        self._files -= files
        if self._files < 0:
            raise TooMuchToLookAtError(f"its processes had more than {self._most} files open")
        if time.thread_time() > self._until:
            raise TooMuchToLookAtError(
                "it had so many processes, open files and mappings that they cannot be looked at in time"
            )
