"""Notes of what receipts have shown, for a person of the site to act on: files beside the receipts."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from hanse.collaborator.site_journal import ACKNOWLEDGE
from hanse.config.layout import NOTED_RESTORE, RECEIPTS
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.journal.restores import RestoreAcknowledgement, read_acknowledgement
from hanse.core.values.schema import Strict
from hanse.core.values.statements import CertifiedStatement
from hanse.core.values.wording import shortened
from hanse.errors import StorageError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors

CONTRADICTION = "contradiction.json"
"""Two receipts that cannot both be true."""
KNOWN = NOTED_RESTORE
"""The last restore of the aggregator that a person of the site acknowledged, or that was before its time."""
NOTICED = "restore.noticed.json"
"""A restore of the aggregator that a person of the site has yet to acknowledge."""

N = TypeVar("N", bound=Strict)


class Contradiction(Strict):
    """Two receipts, both signed by the aggregator, that name different digests for one record.

    Attributes:
        stream: Journal of the record: a run's id, or `federation` for the membership.
        sequence: Number of the record.
        receipts: The two, the earlier one first.
        noticed_ms: When, milliseconds since 1970.
    """

    stream: str = Field(max_length=100)
    sequence: int = Field(ge=1)
    receipts: tuple[CertifiedStatement, CertifiedStatement]
    noticed_ms: int = Field(ge=0)

    def __str__(self) -> str:
        journal = "the membership" if self.stream == STREAM else f"run {self.stream}"
        return (
            f"the aggregator has signed two receipts that name different digests for record {self.sequence} "
            f"of the journal of {journal}: it has kept two journals, or has changed one"
        )


class NotedRestore(Strict):
    """A restore of the aggregator that one of its operators has acknowledged.

    Attributes:
        record: Its record in the membership.
        statement: The operator's acknowledgement, verified; see `hanse.core.journal.restores`. None where the
            aggregator had none to show when the site first connected.
        noticed_ms: When, milliseconds since 1970.
    """

    record: ChainHead
    statement: CertifiedStatement | None
    noticed_ms: int = Field(ge=0)

    def stated(self) -> RestoreAcknowledgement | None:
        """The operator's statement, read."""
        return None if self.statement is None else read_acknowledgement(self.statement)[0]

    def __str__(self) -> str:
        said = self.stated()
        by = "its operator" if said is None else f"its operator {said.operator}"
        reason = "" if said is None or not said.reason else f" ({shortened(said.reason)})"
        return (
            f"the aggregator was restored from a backup, as {by} acknowledged{reason}: removals of parties, "
            "and records of what this site sent, may be lost there"
        )


def contradiction(directory: Path) -> Contradiction | None:
    """The contradiction that the site's agent has found.

    Raises:
        StorageError: The file that holds it cannot be read.
    """
    return _read(directory / RECEIPTS / CONTRADICTION, Contradiction)


def noted_restore(directory: Path, name: str) -> NotedRestore | None:
    """A restore of the aggregator: `KNOWN`, or `NOTICED` and not acknowledged yet.

    Raises:
        StorageError: The file that says so cannot be read.
    """
    return _read(directory / RECEIPTS / name, NotedRestore)


def write_note(directory: Path, name: str, note: Contradiction | NotedRestore) -> None:
    """Write a note; durable when this returns.

    Raises:
        StorageError: The folder cannot be written.
    """
    write_file(directory / RECEIPTS / name, note.model_dump_json(indent=2).encode(), mode=0o600)


def forget_note(directory: Path, name: str) -> None:
    """Delete a note.

    Raises:
        StorageError: The file cannot be deleted.
    """
    path = directory / RECEIPTS / name
    with file_errors(f"delete {path}"):
        path.unlink(missing_ok=True)


def must_trust_aggregator(directory: Path) -> None:
    """Let nothing leave a site where a person has to act first.

    Raises:
        StorageError: Nothing may leave now; says what to do.
    """
    held = contradiction(directory) or noted_restore(directory, NOTICED)
    if held is not None:
        raise StorageError(
            f"nothing leaves this site: {held}", mend=f"With the agent stopped, run `{ACKNOWLEDGE}`."
        )


def _read(path: Path, kind: type[N]) -> N | None:
    if not path.exists():
        return None
    try:
        with file_errors(f"read {path}"):
            return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StorageError(f"{path} is damaged", mend="Put back a copy, or delete it.") from error
