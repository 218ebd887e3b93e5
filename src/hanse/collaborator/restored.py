"""Restored backup of a site's journal: noticed at the agent's start, acknowledged by a person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from pydantic import Field, ValidationError

from hanse.collaborator.own_statements import check_own
from hanse.collaborator.site_journal import ACKNOWLEDGE, SiteJournal
from hanse.core.journal.site_records import JournalHead
from hanse.core.values.schema import Strict
from hanse.core.values.wording import shortened
from hanse.errors import (
    CredentialError,
    HanseError,
    ProtocolError,
    StorageError,
    TamperedError,
    TransportError,
    TrustError,
    VersionError,
)
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.pki.credentials import Credentials
from hanse.pki.signing_key_files import own_keys
from hanse.transport.base import Upstream
from hanse.wire.messages.sites import JournalHeadReply, JournalHeadRequest, TaskOutcome, purpose_of_outcome

logger = logging.getLogger(__name__)

FILE = "journal.restored.json"
"""In the site's folder, from the moment when an agent notices the restore to its acknowledgement."""


_REMEDY = "Stop the agent; then end the other copy, or put back a later copy of the journal"


class Restored(Strict):
    """A journal that lacks records which this site has signed.

    Attributes:
        heard: Latest record that the aggregator has heard of, as the site itself signed it.
        own: Last record of the journal.
        run_id: Run of the outcome that names `heard`.
        noticed_ms: Time at which the restore was noticed, milliseconds since 1970.
    """

    heard: JournalHead
    own: JournalHead
    run_id: str = Field(max_length=100)
    noticed_ms: int = Field(ge=0)

    def __str__(self) -> str:
        return (
            f"the aggregator has an outcome of run {self.run_id}, signed by this site, that names record "
            f"{self.heard.sequence} of the site's journal, and this journal, which ends with record "
            f"{self.own.sequence}, does not have the record: the journal was restored from a backup, or "
            "another copy of this site runs"
        )


def restored_note(directory: Path) -> Restored | None:
    """The restore that an agent has noticed and no person has acknowledged.

    Raises:
        StorageError: The file that says so cannot be read.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        with file_errors(f"read {path}"):
            return Restored.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged", mend="Delete it; the agent notices the restore again."
        ) from error


def must_be_whole(directory: Path) -> None:
    """Let nothing leave a site whose restore is not acknowledged.

    Raises:
        StorageError: Nothing may leave now; says what to do.
    """
    if (restored := restored_note(directory)) is not None:
        raise StorageError(
            f"nothing leaves this site: {restored}", mend=f"With the agent stopped, run `{ACKNOWLEDGE}`."
        )


def forget_note(directory: Path) -> None:
    """Delete the note of a restore that is acknowledged, or over because a later copy was put back.

    Raises:
        StorageError: The file cannot be deleted.
    """
    with file_errors(f"delete {directory / FILE}"):
        (directory / FILE).unlink(missing_ok=True)


async def find_restore(
    journal: SiteJournal, credentials: Credentials, upstream: Upstream, now_ms: int
) -> Restored | None:
    """Ask the aggregator whether it has heard of records that the site's journal lacks.

    Args:
        journal: The site's.
        credentials: The site's; its signing key lies beside them.
        upstream: The aggregator.
        now_ms: The time, milliseconds since 1970.

    Returns:
        The restore; None where the journal has all records that the site signed, or where a person
        acknowledged that they are missing.

    Raises:
        HanseError: The aggregator could not be asked.
    """
    history = await asyncio.to_thread(journal.open)
    own = history.head

    def lacks(head: JournalHead) -> bool:
        return not (history.acknowledged(head) or journal.holds(head))

    claimed = (await _asked(upstream, JournalHeadRequest(head=own))).heard
    if claimed is None or own is None or not await asyncio.to_thread(lacks, claimed):
        return None
    proved = await proved_head(own, credentials, upstream)
    if proved is None or not await asyncio.to_thread(lacks, proved[0]):
        return None
    return Restored(heard=proved[0], own=own, run_id=proved[1], noticed_ms=now_ms)


async def proved_head(
    own: JournalHead | None, credentials: Credentials, upstream: Upstream
) -> tuple[JournalHead, str] | None:
    """The latest record of this site's journal that the aggregator can prove to have heard of.

    Args:
        own: Last record of the journal; None where the journal is damaged.
        credentials: The site's.
        upstream: The aggregator.

    Returns:
        The record, and the run of the outcome in which the site signed it; None without a proof that holds.

    Raises:
        HanseError: The aggregator could not be asked.
    """
    reply = await _asked(upstream, JournalHeadRequest(head=own, proof=True))
    heard, statement = reply.heard, reply.statement
    if heard is None:
        return None
    try:
        if statement is None:
            raise TrustError("there is none")
        keys = own_keys(credentials.directory, credentials.party)
        outcome = check_own(statement, TaskOutcome, purpose_of_outcome(statement), credentials, keys)
        if outcome.journal != heard:
            raise TrustError("it names another record")
    except (ProtocolError, TrustError) as error:
        told = "the aggregator claims record %d of this site's journal, and its proof does not hold: %s"
        logger.warning(told, heard.sequence, error)
        return None
    return heard, outcome.run_id


async def _asked(upstream: Upstream, question: JournalHeadRequest) -> JournalHeadReply:
    """Ask; a refusal for good or a malformed answer is a plain `ProtocolError`, whatever it says of itself.

    So nothing that the aggregator answers can pass for damage of the site's own journal.

    Raises:
        ProtocolError: There is no answer to have.
        HanseError: As for every other request.
    """
    try:
        return await upstream.journal_head(question)
    except (TransportError, VersionError, CredentialError):
        raise
    except HanseError as error:
        if isinstance(error, StorageError) and not isinstance(error, TamperedError):
            raise  # it may pass
        raise ProtocolError(
            "the aggregator does not say which record of this site's journal it has seen last: "
            f"{shortened(error.message)}",
            mend=error.mend,
        ) from error


async def noticed_before(journal: SiteJournal, directory: Path) -> Restored | None:
    """The restore that is noted in the site's folder, unless it was acknowledged or undone since.

    Raises:
        StorageError: The note or the journal cannot be read.
    """
    restored = await asyncio.to_thread(restored_note, directory)
    if restored is None:
        return None
    history = await asyncio.to_thread(journal.open)
    settled = history.acknowledged(restored.heard) or await asyncio.to_thread(journal.holds, restored.heard)
    return None if settled else restored


async def hold_back(
    restored: Restored, directory: Path, renew: Callable[[], Awaitable[None]], remind_s: float
) -> None:
    """Release nothing more, and say so now and then, until the agent is stopped.

    Args:
        restored: The restore that was noticed.
        directory: The site's folder, in which the restore is noted for the command that acknowledges it.
        renew: Renews the site's certificate where that is due; None of it releases anything.
        remind_s: Time between two reminders, seconds.
    """
    note = restored.model_dump_json(indent=2).encode()
    await asyncio.to_thread(partial(write_file, directory / FILE, note, mode=0o600))
    while True:
        logger.error(
            "nothing leaves this site any more: %s. %s, or acknowledge the restore by: %s",
            *(restored, _REMEDY, ACKNOWLEDGE),
        )
        await renew()
        await asyncio.sleep(remind_s)
