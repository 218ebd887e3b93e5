"""What a journal and a blob store promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hanse.core.journal.chain import Entry, Record, Times
from hanse.core.values.digests import Algorithm
from hanse.files.copying import Readable

ABANDONED_MS = 24 * 3_600_000
"""An upload that nobody has gone on with for so long may be dropped; whoever comes back begins it anew."""


class Journal(Protocol):
    """Append-only, hash-chained streams of events; the one truth of a federation and its runs.

    Methods may be called from any thread.
    """

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        """Add events to a stream, all or none; durable when this returns.

        Args:
            stream: Which stream; the first event begins it.
            entries: Events in order; none adds nothing.
            time_ms: The time.

        Returns:
            The records as `read` will give them.

        Raises:
            StorageError: Disk full, or the journal is locked by another process; nothing was added.
            ValueError: A body is no JSON value (a NaN); nothing was added.
        """
        ...

    def read(self, stream: str, *, after: int = 0, limit: int | None = None) -> list[Record]:
        """Records of a stream with a sequence number above `after`, in order."""
        ...

    def streams(self) -> list[str]:
        """Names of all streams, in the order in which they began."""
        ...

    def close(self) -> None:
        """Let go of the file; using the journal afterwards is a `StorageError`."""
        ...


class BlobWriter(Protocol):
    """An upload under way. Bytes already written survive a crash and are kept for the next try."""

    @property
    def offset(self) -> int:
        """Bytes there so far; the next `write` goes here."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            StorageError: The disk is full, or more bytes came than announced.
        """
        ...

    def restart(self) -> None:
        """Drop the bytes that are there; the next `write` begins the blob."""
        ...

    def commit(self) -> Path:
        """Check the hash, make the blob durable and put it in place.

        Raises:
            UpdateError: Too few bytes came (they are kept, for a later try), or their
                digest is not the announced one (they are dropped).
            StorageError: The disk did not take the blob; its bytes are dropped.
        """
        ...

    def close(self) -> None:
        """Stop writing, keeping what is there."""
        ...


class BlobStore(Protocol):
    """Files named by the digest of their content, written once, never changed."""

    def has(self, digest: str) -> bool:
        """Whether the blob is there, whole."""
        ...

    def path(self, digest: str) -> Path:
        """Where the blob is.

        Raises:
            StorageError: It is not there, or `digest` is none.
        """
        ...

    def size(self, digest: str) -> int:
        """Size in bytes.

        Raises:
            StorageError: It is not there.
        """
        ...

    def copy(self, source: Readable, most: int, algorithm: Algorithm) -> str:
        """Store at most `most` bytes of an open file durably, and return their digest.

        Whoever wrote the file may go on: what is stored is what was read here.

        Raises:
            StorageError: The disk is full or cannot be written; nothing was stored.
        """
        ...

    def partial_size(self, digest: str, owner: str) -> int:
        """Bytes already here of an unfinished upload by `owner`; 0 where there is none."""
        ...

    def write(self, digest: str, owner: str, size: int) -> BlobWriter:
        """Begin or take up again an upload of `size` bytes; the caller closes the writer.

        What `owner` left of the same blob is read and hashed again, so that this takes
        time in proportion to it.

        Raises:
            TransportError: `owner` is already uploading this blob, over a connection
                that may not have been noticed to be dead; trying again helps.
            StorageError: The disk is full or cannot be written.
            ConfigError: `owner` is not a party's name.
        """
        ...

    def whole(self, digest: str) -> Path:
        """Where the blob is, which is what its name says: read again unless nothing can have changed it.

        May read all of it, so that this takes time in proportion to it.

        Raises:
            StorageError: As `path`.
            TamperedError: As `verify`.
        """
        ...

    def verify(self, digest: str) -> None:
        """Read the blob again.

        Raises:
            TamperedError: Its content is no longer what its name says.
        """
        ...

    def digests(self) -> list[str]:
        """All blobs that are there, in no order.

        Raises:
            StorageError: The directory cannot be read.
        """
        ...

    def delete(self, digest: str) -> None:
        """Forget a blob, at once whatever its size; forgetting it twice is no error.

        Its space is free after the next `reclaim`.
        """
        ...

    def reclaim(self, *, keep: bool = False) -> None:
        """Free the space of deleted blobs, which takes time in proportion to it.

        Args:
            keep: Leave as much of it as blobs have taken since this was last called: the next
                ones, of about the same sizes, are then written over what is there.
        """
        ...

    def drop_unfinished(self) -> None:
        """Delete what a process that died had begun, and nobody can go on with.

        To be called while nobody else writes here.

        Raises:
            StorageError: It cannot be deleted.
        """
        ...

    def sweep(self, until_ms: int) -> None:
        """Drop uploads under way that nobody has gone on with since a time.

        Args:
            until_ms: The time, milliseconds since 1970.

        Raises:
            StorageError: They cannot be deleted.
        """
        ...
