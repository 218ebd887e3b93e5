"""Outcomes that are recorded: a repetition has to be the same, since its receipt names the outcome."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from hanse.core.journal.chain import Record
from hanse.core.values.canonical import digest_of
from hanse.errors import LateResultError
from hanse.storage.base import Journal

_OUTCOMES = ("UpdateAccepted", "TaskFailed")
_MOST_REMEMBERED = 2
"""Latest outcomes of a site in a run; sites repeat only what they have just sent."""


class RecordedOutcomes:
    """Remembers where the latest outcomes of each site stand in the journals of the runs.

    Methods may be called from any thread.

    Args:
        journal: Of the federation.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {}

    def note(self, record: Record) -> None:
        """Take in a record of a run."""
        if record.kind not in _OUTCOMES:
            return
        with self._lock:
            key = record.stream, record.body["site"]
            place = record.body["exchange"], record.sequence
            self._places[key] = (*self._places.get(key, ()), place)[-_MOST_REMEMBERED:]

    def check_repeated(self, run_id: str, site: str, exchange: int, body: Mapping[str, Any]) -> None:
        """Check that an outcome which changed nothing is the one that was recorded.

        Raises:
            LateResultError: The site had sent another outcome before, which counts.
        """
        with self._lock:
            places = [place for number, place in self._places.get((run_id, site), ()) if number == exchange]
        if places:
            (record,) = self._journal.read(run_id, after=places[-1] - 1, limit=1)
            statement = record.body.get("statement")
            if statement is not None and digest_of(statement["body"]) == digest_of(body):
                return
        raise LateResultError(
            f"{site} answered exchange {exchange} of run {run_id} before, with another outcome; the first "
            "counts"
        )
