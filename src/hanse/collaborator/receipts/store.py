"""Receipts of a site, `receipts/` in its folder: a file for each run, and one for the membership."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hanse.config.layout import RECEIPTS
from hanse.core.journal.membership import STREAM
from hanse.core.journal.receipts import Place, Receipt
from hanse.core.values.statements import CertifiedStatement
from hanse.core.values.wording import counted
from hanse.files.errors import file_errors
from hanse.wire.messages.sites import MOST_RECEIPTS
from hanse.wire.receipt_file import (
    EARLIER_SUFFIX,
    MAX_LINE_BYTES,
    SUFFIX,
    KeptReceipt,
    line_of,
    read_line,
    read_receipts,
)

logger = logging.getLogger(__name__)

MOST_BYTES_OF_FILE = 16 << 20
"""Size from which on a run's receipts go to a new file; the file before it is kept, earlier ones are not."""
MOST_BYTES = 256 << 20
"""Size of all receipts, from which on those of the runs that are over longest are deleted."""


@dataclass(slots=True)
class _Known:
    """Summary of the receipts in one file, kept in memory.

    Attributes:
        last: The last receipt.
        digests: Digest of each record that they name, by its number.
    """

    last: CertifiedStatement | None = None
    digests: dict[int, str] = field(default_factory=dict)


class ReceiptStore:
    """Keeps receipts; the disk is not waited for.

    A power failure may lose the last ones, which proves less and nothing wrong. What is torn is cut off
    before the next receipt is added. Methods may be called from any thread.

    Args:
        directory: The site's folder.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / RECEIPTS
        self._lock = threading.RLock()
        self._known: dict[str, _Known] = {}

    def tidy_up(self) -> None:
        """Delete the oldest receipts where all together have become too large.

        Raises:
            StorageError: The folder cannot be read.
        """
        with file_errors(f"tidy up {self._folder}"), self._lock:
            if not self._folder.is_dir():
                return
            files = sorted(
                (stat.st_mtime, stat.st_size, path)
                for path in self._folder.rglob("*")
                if path.name.endswith((SUFFIX, EARLIER_SUFFIX)) and path != self._path(STREAM)
                for stat in (path.stat(),)
            )
            surplus = sum(size for _, size, _ in files) - MOST_BYTES
            for _, size, path in files:
                if surplus <= 0:
                    return
                logger.warning("%s is deleted: the receipts here have more than %d bytes", path, MOST_BYTES)
                path.unlink()
                surplus -= size

    def last(self, run_id: str) -> CertifiedStatement | None:
        """The last receipt of a run or, without one, of any; None where there is none."""
        with self._lock:
            return self._of(run_id).last or self._of(STREAM).last

    def remembers(self, run_id: str) -> bool:
        """Check if the last receipt of a run is known without reading from the disk."""
        with self._lock:
            return {run_id, STREAM} <= self._known.keys()

    def shown(self) -> tuple[CertifiedStatement, ...]:
        """The last receipts of the latest runs, and of the membership: an agent shows them to connect."""
        with self._lock, file_errors(f"read {self._folder}"):
            last = self._of(STREAM).last
            if not self._folder.is_dir():
                return ()
            files = [path for path in self._folder.glob(f"*{SUFFIX}") if path != self._path(STREAM)]
            files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            runs = files[: MOST_RECEIPTS - 1]
            found = [last, *(_last_of(path) for path in runs)]
            return tuple(statement for statement in found if statement is not None)

    def conflicts(self, receipt: Receipt) -> Iterator[tuple[Place, CertifiedStatement]]:
        """Receipts kept here that name another digest for a record which a receipt names, with the record."""
        for (stream, number), digest in receipt.records():
            with self._lock:
                if self._of(stream).digests.get(number, digest) == digest:
                    continue
                for kept in self._kept(stream):
                    if any(
                        place == (stream, number) and of != digest for place, of in kept.receipt.records()
                    ):
                        yield (stream, number), kept.statement
                        break

    def add(self, statement: CertifiedStatement, receipt: Receipt) -> None:
        """Keep a receipt; one that is here already, and says nothing new, is not kept twice.

        Raises:
            StorageError: The disk is full or cannot be written; what was there is as it was.
        """
        with self._lock:
            if self._of(STREAM).digests.get(receipt.members.sequence) is None:
                self._append(STREAM, statement, receipt)
            received = receipt.received
            if received is not None and self._of(received.run_id).last != statement:
                self._append(received.run_id, statement, receipt)

    def forget(self, run_id: str) -> None:
        """Let go of what is remembered of a run that is over; its file stays."""
        with self._lock:
            self._known.pop(run_id, None)

    def _append(self, stream: str, statement: CertifiedStatement, receipt: Receipt) -> None:
        path, line, known = self._path(stream), line_of(statement), self._of(stream)
        with file_errors(f"write {path}"):
            descriptor = self._open(path)
            try:
                size = os.fstat(descriptor).st_size
                try:
                    rest = memoryview(line)
                    while rest:
                        rest = rest[os.write(descriptor, rest) :]
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
            if size + len(line) > MOST_BYTES_OF_FILE:
                path.replace(self._folder / f"{stream}{EARLIER_SUFFIX}")
        known.last = statement
        known.digests |= _named(stream, receipt)

    def _open(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            return os.open(path, flags, 0o600)

    def _of(self, stream: str) -> _Known:
        if stream not in self._known:
            known = _Known()
            _cut_off_torn(self._path(stream))
            for kept in self._kept(stream):
                known.last = kept.statement
                known.digests |= _named(stream, kept.receipt)
            self._known[stream] = known
        return self._known[stream]

    def _kept(self, stream: str) -> Iterator[KeptReceipt]:
        for path in (self._folder / f"{stream}{EARLIER_SUFFIX}", self._path(stream)):
            first, damaged = None, 0
            for line in read_receipts(path) if path.exists() else ():
                if isinstance(line, KeptReceipt):
                    yield line
                else:
                    first, damaged = first or line, damaged + 1
            if first is not None:
                told = "%s is not a receipt: %s (%s of this kind in the file)"
                logger.warning(told, first.place, first.problem, counted(damaged, "line"))

    def _path(self, stream: str) -> Path:
        return self._folder / f"{stream}{SUFFIX}"


def _named(stream: str, receipt: Receipt) -> dict[int, str]:
    return {number: digest for (of, number), digest in receipt.records() if of == stream}


def _cut_off_torn(path: Path) -> None:
    """Cut off a line of which a power failure, or the end of a process, left only a part."""
    with file_errors(f"read {path}"):
        if not path.exists():
            return
        with path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(end - MAX_LINE_BYTES, 0)
            file.seek(start)
            tail = file.read()
            if tail and not tail.endswith(b"\n"):
                file.truncate(start + tail.rfind(b"\n") + 1)


def _last_of(path: Path) -> CertifiedStatement | None:
    """The last receipt in a file, found from its end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - MAX_LINE_BYTES, 0))
        lines = file.read().splitlines(keepends=True)
    for line in reversed(lines):
        if line.endswith(b"\n") and isinstance(read := read_line(line, str(path)), KeptReceipt):
            return read.statement
    return None
