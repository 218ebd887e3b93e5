"""The hash chain of a journal: each record names the one before it.

A record's digest is the SHA-256 of the canonical JSON of its other fields, so
that no record can be changed, dropped or inserted without every later digest
changing too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from hanse.core.values.canonical import canonical_json, digest_of
from hanse.core.values.schema import Digest, Strict
from hanse.errors import TamperedError

GENESIS = "0" * 64
"""What the first record of a stream names as the one before it."""
_JOURNALS = {"site": "the site's journal", "federation": "the federation's journal"}
"""Names of the streams that are not named by a run."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event as the journal keeps it.

    Attributes:
        stream: Which chain it belongs to: a run's id, or `federation`.
        sequence: Place in its stream, counted from 1.
        time_ms: When it was written, milliseconds since 1970 (UTC).
        kind: Name of the event.
        body: The event, as JSON.
        previous: Digest of the record before it.
        digest: SHA-256 of all of the above.
    """

    stream: str
    sequence: int
    time_ms: int
    kind: str
    body: dict[str, Any]
    previous: str
    digest: str

    def as_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "stream": self.stream,
            "sequence": self.sequence,
            "time_ms": self.time_ms,
            "kind": self.kind,
            "body": self.body,
            "previous": self.previous,
            "digest": self.digest,
        }


class ChainHead(Strict):
    """The name of a record, by which others can say how far a chain had come.

    Attributes:
        sequence: Number of the record in its stream.
        digest: Digest of the record, and so of all before it.
    """

    sequence: int = Field(ge=1, le=2**53)
    digest: Digest

    @staticmethod
    def of(record: Record) -> ChainHead:
        """The name of a record."""
        return ChainHead(sequence=record.sequence, digest=record.digest)


def link(stream: str, sequence: int, time_ms: int, kind: str, body: dict[str, Any], previous: str) -> Record:
    """Make the record that follows the one whose digest is `previous`."""
    open_end = Record(stream, sequence, time_ms, kind, body, previous, digest="")
    return replace(open_end, digest=_digest(open_end))


def check_chain(records: Iterable[Record], previous: str = GENESIS, sequence: int = 0) -> tuple[int, str]:
    """Check that records follow one another without a gap or a change.

    Args:
        records: Records of one stream, in order.
        previous: Digest that the first of them must name.
        sequence: Sequence number before the first.

    Returns:
        Sequence number and digest of the last record.

    Raises:
        TamperedError: A record is missing, out of order or altered; says which.
    """
    for record in records:
        where = place_of(record)
        if record.sequence != sequence + 1:
            raise TamperedError(f"{where} follows record {sequence}: records are missing or out of order")
        if record.previous != previous:
            raise TamperedError(f"{where} does not follow from the record before it")
        try:
            altered = record.digest != _digest(record)
        except ValueError:  # holds what is no JSON, so nothing that a journal ever wrote
            altered = True
        if altered:
            raise TamperedError(f"{where} ({record.kind}) was altered: its digest does not match its content")
        sequence, previous = record.sequence, record.digest
    return sequence, previous


def place_of(record: Record) -> str:
    """Name a record in a message: `record 3 of demo-1`, `record 3 of the site's journal`."""
    return f"record {record.sequence} of {_JOURNALS.get(record.stream, record.stream)}"


def _digest(record: Record) -> str:
    content = record.as_json()
    del content["digest"]
    return digest_of(content)


def chain(
    stream: str, entries: Sequence[Entry], *, time_ms: Times, sequence: int, previous: str
) -> tuple[Record, ...]:
    """Make the records that follow record `sequence`, whose digest is `previous`.

    Bodies are copied in their JSON form, so that what `append` returns, what
    `read` gives and what the digest covers are the same.

    Raises:
        ValueError: A body is no JSON value (a NaN, a lone surrogate).
    """
    records = []
    times = [time_ms] * len(entries) if isinstance(time_ms, int) else time_ms
    for (kind, body), time in zip(entries, times, strict=True):
        sequence += 1
        record = link(stream, sequence, time, kind, json.loads(canonical_json(body)), previous)
        previous = record.digest
        records.append(record)
    return tuple(records)


Entry = tuple[str, dict[str, Any]]
"""An event to append: its kind and its JSON body."""


Times = int | Sequence[int]
"""When events happened, milliseconds since 1970 (UTC): all at once, or a time for each."""
