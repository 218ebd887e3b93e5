"""Processes that die as kill -9 ends them: at a numbered point, between two things that they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hanse.core.journal.chain import Entry, Record, Times
from hanse.storage.base import Journal

Dies = Callable[[str], bool]
"""Told what a process is about to do, or has just done; whether it dies there."""


class Died(BaseException):
    """The process ends here; not an `Exception`, for no handler runs in a process that was killed."""


class DyingJournal(Journal):
    """A journal that outlives the process that writes it, which may die before and after each append.

    An append is all or nothing, as the contract of journals says: a process that dies in it
    has written all of it or nothing.
    """

    def __init__(self, kept: Journal, dies: Dies) -> None:
        self._kept = kept
        self._dies = dies

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        kinds = "+".join(kind for kind, _ in entries)
        if self._dies(f"before {kinds}"):
            raise Died
        added = self._kept.append(stream, entries, time_ms=time_ms)
        if self._dies(f"after {kinds}"):
            raise Died
        return added

    def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Record]:
        return self._kept.read(stream, after=after, limit=limit)

    def streams(self) -> list[str]:
        return self._kept.streams()

    def close(self) -> None:
        pass  # it belongs to all lives of the process
