"""From events to the records that follow on a stream; the same for every journal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hanse.core.canonical import canonical_json
from hanse.core.chain import Record, link
from hanse.storage.base import Entry, Times


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
