"""Files of a site's masked sums: `runs/RUN/sums/EXCHANGE/{q,q.json,ATTEMPT.y}`, and `sums.salt`.

q is the vector that every attempt of an exchange masks, y what leaves. For the owner only. Keys of masks
are in no file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from hanse.collaborator.sums.steps import note_step
from hanse.config.layout import SUMS_SALT
from hanse.core.journal.sum_records import SumPrepared
from hanse.core.values.schema import BlobDigest, Digest, Strict
from hanse.errors import PolicyError
from hanse.files.atomic import sync_folder, write_file
from hanse.files.copying import is_whole
from hanse.files.deleting import delete_tree
from hanse.files.errors import file_errors
from hanse.privacy.secagg.context import SALT_BYTES, commitment


class VectorFacts(Strict):
    """Facts about a vector, in `q.json` beside it.

    Attributes:
        salt: Of the commitment, hexadecimal; stays here, since a small vector could be guessed without it.
        digest: Of the words of the vector; stays here, as above.
        context: Digest of all that decides what the numbers mean.
        layout: Digest of the layout.
    """

    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    digest: BlobDigest
    context: Digest
    layout: Digest

    @property
    def commitment(self) -> str:
        """The salted commitment to the vector."""
        return self.commits_to(self.digest)

    def commits_to(self, digest: str) -> str:
        """The commitment, with this salt, to the words of a digest."""
        return commitment(bytes.fromhex(self.salt), digest)

    def are_of(self, prepared: SumPrepared) -> bool:
        """Check if they are those of the vector that a journal has recorded."""
        recorded = prepared.commitment, prepared.context, prepared.layout
        return (self.commitment, self.context, self.layout) == recorded


class SumFiles:
    """Files of one exchange.

    Args:
        sums: The folder of all sums of the run.
        exchange: Number of the exchange.
    """

    def __init__(self, sums: Path, exchange: int) -> None:
        self._sums = sums
        self.folder = sums / str(exchange)

    @property
    def vector(self) -> Path:
        """The file of q."""
        return self.folder / "q"

    @property
    def _facts(self) -> Path:
        return self.folder / "q.json"

    def masked(self, attempt: int) -> Path:
        """The file of the y of an attempt."""
        return self.folder / f"{attempt}.y"

    def begin(self) -> None:
        """Have an empty folder, for the owner only; its name outlasts a power failure.

        Raises:
            StorageError: The disk is full, or cannot be written.
        """
        delete_tree(self.folder)
        with file_errors(f"make {self.folder}"):
            for folder in (self._sums, self.folder):
                folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(folder.parent)

    def keep_facts(self, facts: VectorFacts) -> None:
        """Write down the facts about q, durably; before the vector is recorded.

        Raises:
            StorageError: The disk is full, or cannot be written.
        """
        write_file(self._facts, facts.model_dump_json().encode(), mode=0o600)
        note_step("facts")

    def facts(self) -> VectorFacts | None:
        """The facts about q; None where q or they are not there, or not whole.

        The words are held against the commitment where they are masked.
        """
        try:
            if not self.vector.is_file():
                return None
            return VectorFacts.model_validate_json(self._facts.read_bytes())
        except (OSError, ValidationError):
            return None

    def holds(self, attempt: int, digest: str) -> bool:
        """Check if the y of an attempt is here, and whole.

        Raises:
            StorageError: It cannot be read.
        """
        path = self.masked(attempt)
        if not path.is_file():
            return False
        with file_errors(f"read {path}"):
            return is_whole(path, digest)

    def drop_masked(self) -> None:
        """Delete what earlier attempts masked, which cannot be summed any more.

        Raises:
            StorageError: It cannot be deleted.
        """
        with file_errors(f"tidy up {self.folder}"):
            for path in self.folder.glob("*.y*"):
                path.unlink(missing_ok=True)

    def drop_others(self) -> None:
        """Delete the vectors of all other exchanges: none of them is attempted again."""
        with file_errors(f"tidy up {self._sums}"):
            for folder in self._sums.iterdir():
                if folder != self.folder:
                    delete_tree(folder)


def site_salt(directory: Path, randomness: Callable[[int], bytes], *, new: bool) -> bytes:
    """The salt with which the site's journal names paths; made once.

    Args:
        directory: The site's folder.
        randomness: Of the operating system.
        new: Whether one may be made: no path is in the journal yet.

    Raises:
        PolicyError: It is missing or damaged, so that data could not be recognised any more.
        StorageError: The folder cannot be read or written.
    """
    path = directory / SUMS_SALT
    with file_errors(f"read {path}"):
        salt = path.read_bytes() if path.exists() else b""
    if len(salt) == SALT_BYTES:
        return salt
    if salt or not new:
        what = "damaged" if salt else "missing"
        raise PolicyError(
            f"{path} is {what}: this site cannot recognise the data of earlier sums",
            mend=f"Put it back from a backup. Where there is none, write {SALT_BYTES} random bytes into it; "
            "data are then recognised by the names of their sources alone, so rename none.",
        )
    made = randomness(SALT_BYTES)
    write_file(path, made, mode=0o600)
    return made
