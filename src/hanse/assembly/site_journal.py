"""Commands about a site's journal: read it, and acknowledge that it was restored or damaged."""

from __future__ import annotations

import getpass
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanse.assembly.site import site_upstream
from hanse.assembly.tuning import now
from hanse.collaborator.acknowledgement import Acknowledgement
from hanse.collaborator.site_journal import SiteJournal, records_of
from hanse.config.layout import IDENTITY
from hanse.config.settings import load_site
from hanse.core.journal.chain import Record
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import MOST_REASON_CHARS, MOST_USER_CHARS, SiteRecord
from hanse.core.values.identity import Party, Role
from hanse.core.values.wording import bounded
from hanse.files.lock import DirectoryLock
from hanse.pki.credentials import Credentials


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record of a site's journal: as the chain has it, and read."""

    record: Record
    read: SiteRecord

    def as_json(self) -> dict[str, Any]:
        """The record for scripts."""
        place = {"sequence": self.record.sequence, "time_ms": self.record.time_ms, "kind": self.record.kind}
        return {**place, **self.record.body, "record_digest": self.record.digest}


@dataclass(frozen=True, slots=True)
class SiteLog:
    """Records of a site's journal.

    Attributes:
        records: The records asked for.
        begun_ms: Time of the first record of the journal, milliseconds since 1970.
        site: Name of the site.
    """

    records: list[LoggedRecord]
    begun_ms: int
    site: str


def logged(directory: Path, *, run: str | None = None, last: int | None = None) -> SiteLog:
    """Read the journal of a site; its chain is verified from the beginning to the end.

    Args:
        directory: The site's folder.
        run: Only records about this run.
        last: At most so many records, the latest; None for all.

    Raises:
        ConfigError: It is not the folder of a site.
        StorageError: There is no journal, or it cannot be read.
        TamperedError: The journal is damaged, or another site's.
    """
    settings = load_site(directory)
    party = Party(settings.federation, Role.COLLABORATOR, settings.name)
    begun_ms = 0
    found: deque[LoggedRecord] = deque(maxlen=last)
    for record, read in records_of(directory, SiteHistory(), party):
        if record.sequence == 1:
            begun_ms = record.time_ms
        if run is None or getattr(read, "run_id", None) == run:
            found.append(LoggedRecord(record, read))
    return SiteLog(list(found), begun_ms, settings.name)


async def acknowledge(directory: Path, reason: str) -> str:
    """Acknowledge that the site's journal was restored from a backup, or damaged; the agent is stopped.

    Returns:
        What was done, in a sentence.

    Raises:
        StorageError: The agent runs, or the folder cannot be written.
        HanseError: The aggregator has to be asked, and could not be.
    """
    settings = load_site(directory)
    with DirectoryLock(directory, holder="collaborator", mend="Stop the agent first, then acknowledge."):
        credentials = Credentials.load(directory / IDENTITY, now())
        journal = SiteJournal(directory, credentials.party, now)
        upstream = site_upstream(settings, credentials)
        try:
            by, why = bounded(user_name(), MOST_USER_CHARS), bounded(reason, MOST_REASON_CHARS)
            return await Acknowledgement(directory, journal, credentials, upstream, by, why, now()).record()
        finally:
            journal.close()
            await upstream.close()


def user_name() -> str:
    """The user of the operating system, by name where the name is known."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
