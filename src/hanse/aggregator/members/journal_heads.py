"""Heads of the sites' own journals, as the sites signed them in the outcomes of their tasks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hanse.core.journal.chain import Record
from hanse.core.journal.membership import STREAM
from hanse.core.journal.site_records import JournalHead
from hanse.core.values.identity import Role
from hanse.core.values.statements import Statement
from hanse.storage.base import Journal

_STATEMENT: TypeAdapter[Statement] = TypeAdapter(Statement)
_OUTCOMES = ("UpdateAccepted", "TaskFailed")


@dataclass(frozen=True, slots=True)
class HeardHead:
    """The latest record of a site's journal that was heard of.

    Attributes:
        head: The record.
        run_id: The run in whose journal the site's statement is.
        sequence: Number of the record there.
        time_ms: Time of the record there.
    """

    head: JournalHead
    run_id: str
    sequence: int
    time_ms: int


class JournalHeads:
    """Remembers the latest head of each site; a small index over the journals of the runs.

    A site that was enrolled again has no head at first: its folder may be a new one. Methods may be called
    from any thread.

    Args:
        journal: Of the federation.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._heard: dict[str, HeardHead] = {}
        self._enrolled_ms: dict[str, int] = {}
        self._members_seen = 0

    def note(self, record: Record) -> None:
        """Take in a record of a run."""
        if record.kind not in _OUTCOMES:
            return
        head, site = _head_in(record.body), record.body["site"]
        if head is None:
            return
        with self._lock:
            before = self._heard.get(site)
            stale = record.time_ms < self._enrolled_ms.get(site, 0)
            if not stale and (before is None or head.place > before.head.place):
                self._heard[site] = HeardHead(head, record.stream, record.sequence, record.time_ms)

    def note_enrolments(self) -> None:
        """Take in who has enrolled since this was last called."""
        with self._lock:
            for record in self._journal.read(STREAM, after=self._members_seen):
                self._members_seen = record.sequence
                if record.kind == "PartyEnrolled" and record.body["role"] == Role.COLLABORATOR:
                    self._enrolled_ms[record.body["name"]] = record.time_ms

    def latest(self, site: str) -> HeardHead | None:
        """The latest head of a site since it enrolled; None where there was none."""
        self.note_enrolments()
        with self._lock:
            found = self._heard.get(site)
            if found is not None and found.time_ms < self._enrolled_ms.get(site, 0):
                del self._heard[site]
                return None
            return found

    def statement(self, heard: HeardHead) -> Statement:
        """The statement in which the site named a head."""
        (record,) = self._journal.read(heard.run_id, after=heard.sequence - 1, limit=1)
        return _STATEMENT.validate_python(record.body["statement"])


def _head_in(event: Mapping[str, Any]) -> JournalHead | None:
    """The head in the statement of an event; None where it has none, as in 0.1."""
    stated = (event.get("statement") or {}).get("body", {}).get("journal")
    try:
        return None if stated is None else JournalHead.model_validate(stated)
    except ValidationError:
        return None
