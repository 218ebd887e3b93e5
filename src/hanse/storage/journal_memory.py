"""A journal in memory, for simulation and tests."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hanse.core.journal.chain import GENESIS, Entry, Record, Times, chain
from hanse.errors import StorageError
from hanse.storage.base import Journal


class MemoryJournal(Journal):
    """Keeps records in lists; nothing outlives the process."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Record]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        """See `Journal.append`."""
        with self._lock:
            self._check_open()
            there = self._streams.get(stream, [])
            previous = there[-1].digest if there else GENESIS
            added = chain(stream, entries, time_ms=time_ms, sequence=len(there), previous=previous)
            if added:
                self._streams.setdefault(stream, there).extend(added)
            return added

    def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Record]:
        """See `Journal.read`."""
        with self._lock:
            self._check_open()
            end = None if limit is None else after + limit
            return self._streams.get(stream, [])[after:end]

    def streams(self) -> list[str]:
        """See `Journal.streams`."""
        with self._lock:
            self._check_open()
            return list(self._streams)

    def close(self) -> None:
        """See `Journal.close`."""
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("the journal in memory is closed")
