"""Updates on their way out, at the place where they lie: in a file of the agent's, or in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from hanse.core.values.digests import algorithm_of
from hanse.core.values.parameters import Array, Parameters, specs
from hanse.errors import DisclosureError
from hanse.wire.messages.sites import UpdateFile
from hanse.wire.spool import Spool
from hanse.wire.tensors import open_file, tensors_size, write_hashed


class Shelf(Protocol):
    """Tensors put aside one by one."""

    def add(self, name: str, array: Array) -> None:
        """Put a tensor aside."""
        ...

    def tensors(self) -> Parameters:
        """All of them; for as long as nothing is added."""
        ...


class Draft(Protocol):
    """An update that steps read and rewrite until it travels; see `hanse.updates.outgoing`."""

    def tensors(self) -> Parameters:
        """Its tensors as they are now.

        Raises:
            DisclosureError: It is more than tensors, or too large.
            UpdateError: It is not a file of tensors.
            StorageError: It cannot be read.
        """
        ...

    def shelf(self) -> AbstractContextManager[Shelf]:
        """A place for what a step makes of it; gone at the end of the block."""
        ...

    def rewrite(self, tensors: Parameters) -> None:
        """Have it consist of these tensors from now on; as a whole or not at all.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        ...


def opened_update(path: Path, size: int, what: str, max_bytes: int) -> Parameters:
    """The tensors of the file of an update, mapped into memory.

    Args:
        path: The file, which only the agent can change.
        size: Its size in bytes.
        what: Who sends, for messages: `task train at cleveland`.
        max_bytes: Largest update file that the aggregator takes.

    Raises:
        DisclosureError: It is more than tensors, or too large.
        UpdateError: It is not a file of tensors.
        StorageError: It cannot be read.
    """
    if size > max_bytes:
        raise DisclosureError(f"the update of {what} has {size} bytes; at most {max_bytes} are taken")
    tensors = open_file(path)
    # Metadata in the header would be text that the plan does not declare.
    if size != tensors_size(specs(tensors)):
        raise DisclosureError(f"the update file of {what} holds more than the declared tensors")
    return tensors


class FileDraft:
    """An update in a file that only the agent can change.

    A step needs memory for a few tensors; the rest lies in files beside the update meanwhile.

    Args:
        path: The file.
        file: Its digest and size.
        what: Who sends, for messages: `task train at cleveland`.
        max_bytes: Largest update file that the aggregator takes.

    Attributes:
        file: Digest and size of the file as it is now.
    """

    def __init__(self, path: Path, file: UpdateFile, what: str, max_bytes: int) -> None:
        self.file = file
        self._path = path
        self._what = what
        self._max_bytes = max_bytes

    def tensors(self) -> Parameters:
        """See `Draft`: mapped into memory."""
        return opened_update(self._path, self.file.size, self._what, self._max_bytes)

    def shelf(self) -> Spool:
        """See `Draft`: a file without a name beside the update."""
        return Spool(self._path.parent)

    def rewrite(self, tensors: Parameters) -> None:
        """See `Draft`."""
        digest, size = write_hashed(self._path, tensors, algorithm_of(self.file.digest))
        self.file = UpdateFile(digest=digest, size=size)


class MemoryDraft:
    """An update in memory.

    Args:
        tensors: Its arrays.
    """

    def __init__(self, tensors: Parameters) -> None:
        self._tensors = tensors

    def tensors(self) -> Parameters:
        """See `Draft`."""
        return self._tensors

    @contextmanager
    def shelf(self) -> Iterator[Shelf]:
        """See `Draft`."""
        yield _MemoryShelf()

    def rewrite(self, tensors: Parameters) -> None:
        """See `Draft`."""
        self._tensors = tensors


class _MemoryShelf:
    def __init__(self) -> None:
        self._tensors: dict[str, Array] = {}

    def add(self, name: str, array: Array) -> None:
        self._tensors[name] = array

    def tensors(self) -> Parameters:
        return self._tensors
