"""Hold on an aggregator that was restored from a backup, until one of its operators acknowledges that."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from hanse.core.journal.restores import RestoreNotice
from hanse.errors import StorageError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors

FILE = "journal.restored.json"
"""In the federation's folder, as long as a restore waits for an operator."""
ACKNOWLEDGE = "hanse aggregator acknowledge --reason '...'"

REMEDY = (
    "An operator puts a later copy of journal.sqlite back, with the aggregator stopped, or runs "
    f"`{ACKNOWLEDGE}`."
)


class RestoreHold:
    """Keeps the notice of a restore, durably; as long as there is one, nothing may be recorded.

    Args:
        directory: The federation's folder.

    Raises:
        StorageError: The file of an earlier notice cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._notice = restore_notice(directory)

    @property
    def notice(self) -> RestoreNotice | None:
        """The restore that waits for an operator; None for none."""
        return self._notice

    def check(self) -> None:
        """Let nothing be recorded that a later copy of the journal would not have.

        Raises:
            StorageError: A restore waits for an operator.
        """
        if self._notice is not None:
            raise StorageError(
                f"nothing is recorded until an operator has acted: {self._notice}", mend=REMEDY
            )

    def begin(self, notice: RestoreNotice) -> None:
        """Note a restore; durable when this returns. Of several, the first stays.

        Raises:
            StorageError: The folder cannot be written.
        """
        if self._notice is None:
            self._notice = notice  # first, so that nothing is recorded on a full disk either
            write_file(self._path, notice.model_dump_json(indent=2).encode(), mode=0o600)

    def end(self) -> None:
        """Delete the notice of a restore that was acknowledged, or undone by a later copy of the journal.

        Raises:
            StorageError: The file cannot be deleted.
        """
        with file_errors(f"delete {self._path}"):
            self._path.unlink(missing_ok=True)
        self._notice = None


def restore_notice(directory: Path) -> RestoreNotice | None:
    """The restore of a federation that was noticed and that no operator has acknowledged.

    Raises:
        StorageError: The file that says so cannot be read.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        with file_errors(f"read {path}"):
            return RestoreNotice.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged",
            mend="Delete it; the restore is noticed again by the next receipt shown.",
        ) from error
