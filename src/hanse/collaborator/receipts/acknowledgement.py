"""Acknowledgement by a person of what receipts have shown; receipts then start again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from hanse.collaborator.receipts.notes import (
    CONTRADICTION,
    KNOWN,
    NOTICED,
    Contradiction,
    NotedRestore,
    contradiction,
    forget_note,
    noted_restore,
    write_note,
)
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.layout import RECEIPTS
from hanse.core.journal.receipts import read_receipt
from hanse.core.journal.restores import read_acknowledgement
from hanse.core.journal.site_records import AggregatorRestoreAcknowledged, ContradictionAcknowledged
from hanse.files.errors import file_errors
from hanse.pki.signing_key import fingerprint_of
from hanse.wire.receipt_file import EARLIER_SUFFIX, SUFFIX


def acknowledge_aggregator(
    directory: Path, journal: SiteJournal, *, by: str, reason: str, now: datetime
) -> list[str]:
    """Record that a person acknowledges what the receipts of a site have shown; the agent is stopped.

    The receipts until then are kept in a folder of their own.

    Args:
        directory: The site's folder.
        journal: The site's journal, which takes the record.
        by: User of the operating system who acknowledges.
        reason: A sentence for the journal; may be empty.
        now: The time, with its zone.

    Returns:
        What was done, in sentences; empty where there was nothing to acknowledge.

    Raises:
        StorageError: The folder cannot be read or written.
    """
    said = []
    kept = f"until-{now:%Y%m%dT%H%M%SZ}"
    if (found := contradiction(directory)) is not None:
        journal.append(_of_contradiction(found, kept, by, reason))
        _put_aside(directory, kept)
        said.append(f"{found}. This is acknowledged; both receipts are kept in {RECEIPTS}/{kept}")
    if (restore := noted_restore(directory, NOTICED)) is not None:
        journal.append(_of_restore(restore, by, reason))
        _put_aside(directory, kept)
        write_note(directory, KNOWN, restore)
        forget_note(directory, NOTICED)
        said.append(f"{restore}. This is acknowledged; the receipts until then are in {RECEIPTS}/{kept}")
    return said


def _of_contradiction(found: Contradiction, kept: str, by: str, reason: str) -> ContradictionAcknowledged:
    place = found.stream, found.sequence
    earlier, later = (dict(read_receipt(each.body).records())[place] for each in found.receipts)
    return ContradictionAcknowledged(
        stream=found.stream,
        sequence=found.sequence,
        digests=(earlier, later),
        folder=kept,
        by=by,
        reason=reason,
    )


def _of_restore(restore: NotedRestore, by: str, reason: str) -> AggregatorRestoreAcknowledged:
    operator, key, stated = None, None, ""
    if restore.statement is not None:
        said, signed = read_acknowledgement(restore.statement)
        operator, key, stated = said.operator, fingerprint_of(signed.key), said.reason
    return AggregatorRestoreAcknowledged(
        record=restore.record, operator=operator, signing_key=key, stated=stated, by=by, reason=reason
    )


def _put_aside(directory: Path, kept: str) -> None:
    folder = directory / RECEIPTS
    with file_errors(f"move the receipts in {folder} to {kept}"):
        aside = folder / kept
        aside.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if path.name.endswith((SUFFIX, EARLIER_SUFFIX)) or path.name == CONTRADICTION:
                path.replace(aside / path.name)
