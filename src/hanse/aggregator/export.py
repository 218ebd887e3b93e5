"""A run's journal as a file that an auditor can verify without us."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hanse.core.journal.chain import GENESIS, Record
from hanse.core.values.canonical import canonical_json
from hanse.errors import RunError
from hanse.files.atomic import PART, writing
from hanse.files.errors import file_errors
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.signatures import sign
from hanse.storage.base import Journal
from hanse.wire.journal_file import JOURNAL_SEAL, Head, Header


class JournalExporter:
    """Writes runs' journals to files, `journal-RECORDS.jsonl` in the folder of each run.

    Methods may be called from any thread.

    Attributes:
        credentials: The aggregator's, which seals.
    """

    def __init__(
        self, journal: Journal, credentials: Credentials, directory: Path, clock_ms: Callable[[], int]
    ) -> None:
        """Write nothing yet; what a service that was killed left half written is deleted.

        Args:
            journal: With all runs.
            credentials: The aggregator's, which seals.
            directory: Holds a folder for each run.
            clock_ms: The time, milliseconds since 1970.
        """
        self._journal = journal
        self.credentials = credentials
        self._directory = directory
        self._clock_ms = clock_ms
        self._one_at_a_time = threading.Lock()
        with file_errors(f"tidy up {directory}"):
            for part in directory.glob(f"*/journal-*.jsonl{PART}"):
                part.unlink(missing_ok=True)

    def write(self, run_id: str) -> Path:
        """Write a run's records between a header and a signed seal, one JSON object a line.

        As long as nothing was recorded since, the file is the same: a download of it can be resumed.

        Raises:
            RunError: There is no such run.
            StorageError: The file cannot be written; nothing is left of it.
        """
        records = self._journal.read(run_id)
        if not records:
            raise RunError(f"there is no run {run_id}")
        folder = self._directory / run_id
        path = folder / f"journal-{records[-1].sequence}.jsonl"
        with self._one_at_a_time, file_errors(f"write the exported journal {path}"):
            if path.exists():
                return path
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for earlier in folder.glob("journal-*.jsonl"):
                earlier.unlink()
            with writing(path) as file:
                for line in _lines(records, self.credentials, self._clock_ms()):
                    file.write(canonical_json(line) + b"\n")
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
    yield {"seal": head, "signature": signature.model_dump()}
