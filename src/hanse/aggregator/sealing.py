"""A run's journal as a file that an auditor can verify without us."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hanse.core.canonical import canonical_json
from hanse.core.chain import GENESIS, Record
from hanse.errors import RunError
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign
from hanse.storage.base import Journal
from hanse.wire.files import file_errors
from hanse.wire.journal_file import JOURNAL_SEAL, Head, Header


def export_journal(journal: Journal, run_id: str, credentials: Credentials, path: Path, now_ms: int) -> Path:
    """Write a run's records between a header and a signed seal, one JSON object a line.

    Raises:
        RunError: There is no such run.
        StorageError: The file cannot be written; nothing is left of it.
    """
    records = journal.read(run_id)
    if not records:
        raise RunError(f"there is no run {run_id}")
    part = path.with_suffix(".part")
    with file_errors(f"write the exported journal {path}"):
        try:
            with part.open("wb") as file:
                for line in _lines(records, credentials, now_ms):
                    file.write(canonical_json(line) + b"\n")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return path


def _lines(records: list[Record], credentials: Credentials, now_ms: int) -> Iterator[dict[str, Any]]:
    last = records[-1]
    header = Header(
        federation=credentials.party.federation,
        run_id=last.stream,
        authority=pem_of(credentials.authority),
        first=GENESIS,
    )
    head = Head(run_id=last.stream, records=last.sequence, head=last.digest, sealed_ms=now_ms).model_dump()
    signature = sign(credentials, JOURNAL_SEAL, head)
    yield header.model_dump()
    for record in records:
        yield record.as_json()
    yield {"seal": head, "signature": signature.as_json()}
