"""The folders through which a run worker and its service pass files."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hanse.aggregator.sealed.blobs import seal_or_copy
from hanse.core.values.digests import Algorithm
from hanse.core.values.parameters import Parameters
from hanse.errors import WorkflowError
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors
from hanse.files.handover import lend, open_foreign
from hanse.files.reuse import may_keep, unused
from hanse.sealing.header import Purpose
from hanse.storage.base import BlobStore
from hanse.wire.tensors import write_hashed

MODEL: tuple[Purpose, str] = ("model", "model")
"""Kind of a file that is none of the others."""

_LIFE = "life-"
_LONGEST_INLINE = 1 << 19
"""Bytes of a message from which on it passes as a file; a channel's messages are bounded."""


def delete_lives(directory: Path) -> None:
    """Delete what is left of earlier lives of a run's worker."""
    for earlier in directory.glob(f"{_LIFE}*"):
        delete_tree(earlier)


class Workspace:
    """The folders of one life of a worker: it reads `inbox`, and writes in `outbox`, its home.

    Each life has folders of its own, so that what still works for an earlier
    one, a copy on a thread say, cannot meet this one. Methods may be called on
    any thread, one at a time.

    Attributes:
        inbox: What is lent to the worker.
        outbox: What the worker writes.
        sums: For files of the service's own, which the worker never sees; made where it is needed.
        share: Whether the worker can change nothing in `inbox`, not even a mode, so that blobs
            may be linked there; they are copied otherwise.
        taken: Blobs that were taken in from the worker since `clear`.
    """

    def __init__(self, directory: Path, blobs: BlobStore, *, max_bytes: int, algorithm: Algorithm) -> None:
        """Make the folders, and delete those of earlier lives.

        Args:
            directory: Of the run.
            blobs: Where the files come from and go to.
            max_bytes: Largest file that is taken from the worker.
            algorithm: What makes the digests of its files.

        Raises:
            StorageError: They cannot be made.
        """
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._algorithm = algorithm
        self.share = False
        with file_errors(f"make a workspace in {directory}"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            delete_lives(directory)
            self._life = Path(tempfile.mkdtemp(prefix=_LIFE, dir=directory))
            self.inbox, self.outbox = self._life / "in", self._life / "out"
            for folder in (self.inbox, self.outbox):
                folder.mkdir(mode=0o700)
            self._spare = self._life / "spare"
            self.sums = self._life / "sums"
        self.taken: set[str] = set()
        self._shown: set[Path] = set()

    def lend(self, digest: str) -> str:
        """Show a blob to the worker; its name in `inbox`.

        Raises:
            StorageError: It is not there, or the disk is full.
            TamperedError: It is not what its name says any more.
        """
        name = f"{digest}.safetensors"
        place, blob = self.inbox / name, self._blobs.whole(digest)
        with file_errors(f"show {blob} to the run's worker"):
            if not place.exists():
                lend(blob, place, link=self.share)
        return name

    def show(self, name: str, parameters: Parameters) -> str:
        """Write tensors for the worker to read; the digest of the file."""
        place = self.inbox / name
        self._shown.add(place)
        return write_hashed(place, parameters, self._algorithm, over=unused(self._spare))[0]

    def take(self, name: str, kind: tuple[Purpose, str] = MODEL) -> str:
        """Take in a file that the worker wrote; its digest.

        Args:
            name: The file, in `outbox`.
            kind: What it is in a sealed run, and which of these.

        Raises:
            WorkflowError: The worker wrote no such file, or too large a one.
            StorageError: The disk is full.
        """

        def refuse(problem: str) -> WorkflowError:
            return WorkflowError(f"the workflow named a file {name} that {problem}")

        with file_errors(f"open {name} of the run's worker"):
            try:
                source, size = open_foreign(self.outbox / name, self._max_bytes, refuse)
            except FileNotFoundError as error:
                raise refuse("it did not write") from error
        with source:
            digest = seal_or_copy(self._blobs, source, size, self._algorithm, kind)
        self.taken.add(digest)
        with suppress(OSError):  # it is the worker's own folder, and the next is written over it
            if size > may_keep(self.outbox):
                (self.outbox / name).unlink()
        return digest

    def post(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as it goes to the worker: itself, or the name of a file in `inbox` that holds it."""
        text = json.dumps(message)
        if len(text) <= _LONGEST_INLINE:
            return message
        place = self.inbox / "message.json"
        with file_errors(f"write {place}"):
            place.write_text(text, encoding="ascii")  # read once the worker knows its name
        return {"file": place.name}

    def clear(self) -> None:
        """Delete what was lent; the worker keeps what it has open.

        A file that was written for it is kept, for the next one to be written over it.
        """
        with file_errors(f"empty {self.inbox}"):
            for path in self.inbox.iterdir():
                if path in self._shown and path.stat().st_size <= may_keep(self.inbox):
                    path.replace(self._spare)
                else:
                    path.unlink()
        self._shown.clear()
        self.taken.clear()

    def delete(self) -> None:
        """Delete the folders."""
        delete_tree(self._life)
