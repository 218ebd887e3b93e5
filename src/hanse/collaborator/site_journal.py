"""Journal of a site, `journal.sqlite` in its folder: each release is in it before its first byte leaves."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from hanse import __version__
from hanse.config.layout import JOURNAL
from hanse.core.journal.chain import Record
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import (
    STREAM,
    DamagedJournal,
    JournalHead,
    PlanAnswerReleased,
    Release,
    SiteJournalBegun,
    SiteRecord,
    site_record_body,
)
from hanse.core.values.identity import Party
from hanse.core.values.wording import visible
from hanse.errors import StorageError, TamperedError
from hanse.files.atomic import PART, writing
from hanse.files.errors import file_errors
from hanse.storage.base import Journal

OpenJournal = Callable[[Path], Journal]

ACKNOWLEDGE = "hanse collaborator acknowledge --reason '...'"
_WAYS_OUT = (
    "With the agent stopped, put back a copy of the file and remove the files beside it that end in -wal and "
    f"-shm; or run `{ACKNOWLEDGE}`, which keeps the damaged file and begins a new journal that says so."
)
_RECORDS_A_READ = 1_000
SIDE_FILES = ("-wal", "-shm")
"""Ends of the names of the files that SQLite keeps beside a database while it is open."""


class SiteJournal:
    """Records what leaves the site, in order, each release once.

    Opened at the first use. Methods may be called from any thread, and wait for the disk.

    Args:
        directory: The site's folder.
        party: The site.
        clock: The time, with its zone.
        open_journal: Opens the file.
    """

    def __init__(
        self,
        directory: Path,
        party: Party,
        clock: Callable[[], datetime],
        open_journal: OpenJournal | None = None,
    ) -> None:
        self._directory = directory
        self._party = party
        self._clock = clock
        self._open_journal = open_journal or open_sql
        self._lock = threading.RLock()
        self._journal: Journal | None = None
        self._history = SiteHistory()

    @property
    def path(self) -> Path:
        """The file."""
        return self._directory / JOURNAL

    @property
    def history(self) -> SiteHistory:
        """The journal as far as it has been read; of a damaged journal, the records before the damage."""
        return self._history

    def open(self) -> SiteHistory:
        """Open the journal and follow its chain to the end; begin it where the folder has none.

        Raises:
            TamperedError: It is damaged; says where, and both ways out.
            StorageError: It cannot be opened or written.
        """
        with self._lock:
            if self._journal is None:
                if not os.path.lexists(self.path):
                    self.begin(self.first())
                journal = self._open_journal(self.path)
                try:
                    self._history = SiteHistory()
                    for _ in follow(journal, self._history, self.path):
                        pass
                    check_owner(self._history, self._party, self.path)
                except BaseException:
                    journal.close()
                    raise
                self._journal = journal
            return self._history

    def record(self, release: Release) -> JournalHead:
        """Record a release, durable when this returns; a repetition of what is recorded adds nothing.

        Returns:
            The record of the release.

        Raises:
            StorageError: The journal could not be written; nothing may leave.
        """
        with self._lock:
            self.open()
            if isinstance(release, PlanAnswerReleased):
                self.catch_up()  # a person's command may have recorded the same
            found = self._history.released(release)
            return found if found is not None else self.append(release)

    def append(self, record: SiteRecord) -> JournalHead:
        """Add a record, durable when this returns.

        Raises:
            StorageError: The journal could not be written.
        """
        with self._lock:
            self.open()
            assert self._journal is not None
            entry = record.kind, site_record_body(record)
            (added,) = self._journal.append(STREAM, [entry], time_ms=self._now_ms)
            if added.sequence == self._history.records + 1:
                self._history.extend(added, record)
            else:
                self.catch_up()  # a command of this site has written in between
            assert self._history.head is not None
            place = {"sequence": added.sequence, "digest": added.digest}
            return self._history.head.model_copy(update=place)

    def catch_up(self) -> None:
        """Take in what another process of this site has recorded since.

        Raises:
            TamperedError: The chain does not hold.
        """
        with self._lock:
            self.open()
            assert self._journal is not None
            for _ in follow(self._journal, self._history, self.path):
                pass

    def holds(self, head: JournalHead) -> bool:
        """Check if a record is in this journal."""
        with self._lock:
            self.open()
            assert self._journal is not None
            found = self._journal.read(STREAM, after=head.sequence - 1, limit=1)
            return bool(found) and (found[0].sequence, found[0].digest) == (head.sequence, head.digest)

    def begin(self, first: SiteJournalBegun) -> None:
        """Put a new journal in place whole, for its owner only, or not at all.

        Of processes that do so at once, one after the other comes, and the journal of the first stays.

        Raises:
            StorageError: The folder cannot be written.
        """
        with file_errors(f"begin {self.path}"), suppress(FileExistsError), self._new(first):
            if os.path.lexists(self.path):
                raise FileExistsError(errno.EEXIST, "another process has begun it", str(self.path))
            for end in SIDE_FILES:
                Path(f"{self.path}{end}").unlink(missing_ok=True)  # of a journal that somebody deleted

    def begin_instead(self, first: SiteJournalBegun, kept: str) -> None:
        """Keep a damaged journal under another name, and put a new one in its place.

        Args:
            first: The first record of the new journal.
            kept: Name of what is damaged from then on (a file, a folder, a link), in the same folder.

        Raises:
            StorageError: The folder cannot be written.
        """
        aside = self.path.with_name(kept)
        with file_errors(f"keep {self.path} as {kept}"), self._new(first):
            if os.path.lexists(aside):
                raise FileExistsError(errno.EEXIST, "that name is taken", kept)
            if self.path.is_file() and not self.path.is_symlink():
                os.link(self.path, aside)  # in both places, until the new journal takes one of them
            else:
                self.path.rename(aside)
            for end in SIDE_FILES:
                # Beside the new journal, SQLite would take them for parts of it.
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{end}").replace(f"{aside}{end}")

    @contextmanager
    def _new(self, first: SiteJournalBegun) -> Iterator[None]:
        """Write a journal beside its place, and put it there after the block."""
        part = self.path.with_name(f"{JOURNAL}{PART}")
        with writing(self.path, mode=0o600, durable=True) as file:
            file.truncate(0)  # a process that was killed here may have left a part
            for end in SIDE_FILES:
                Path(f"{part}{end}").unlink(missing_ok=True)
            # SQLite gives the files beside a database the mode of the database.
            with closing(open_sql(part)) as journal:
                journal.append(STREAM, [(first.kind, site_record_body(first))], time_ms=self._now_ms)
            file.seek(0, os.SEEK_END)
            yield

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def first(self, generation: int = 0, instead_of: DamagedJournal | None = None) -> SiteJournalBegun:
        """The first record of a journal that is begun now."""
        return SiteJournalBegun(
            federation=self._party.federation,
            site=self._party.name,
            version=__version__,
            generation=generation,
            instead_of=instead_of,
        )

    @property
    def _now_ms(self) -> int:
        return round(self._clock().timestamp() * 1000)


def check_owner(history: SiteHistory, party: Party, path: Path) -> None:
    """Refuse the journal of another site.

    Raises:
        TamperedError: Its first record names another site or federation.
    """
    begun = history.begun
    if begun is not None and (begun.federation, begun.site) != (party.federation, party.name):
        raise TamperedError(
            f"{path} is the journal of {begun.site} in {begun.federation}, and this site is "
            f"{party.name} in {party.federation}",
            mend=_WAYS_OUT,
        )


def open_sql(path: Path, *, read_only: bool = False) -> Journal:
    """Open a site's journal.

    Args:
        path: The file; made where nothing is there, except to read only.
        read_only: Change nothing in the folder.

    Raises:
        TamperedError: It is damaged; names both ways out.
        StorageError: It cannot be opened.
    """
    from hanse.storage.journal_sql import SqlJournal  # what it needs takes long to import

    try:
        with file_errors(f"open {path}"):
            if os.path.lexists(path) and not path.is_file():
                what = "a link that leads to no file" if path.is_symlink() else "not a file"
                raise TamperedError(f"the site's journal {path} is damaged: it is {what}")
        return SqlJournal(path, read_only=read_only)
    except TamperedError as error:
        raise TamperedError(error.message, mend=_WAYS_OUT) from error


def follow(journal: Journal, history: SiteHistory, path: Path) -> Iterator[tuple[Record, SiteRecord]]:
    """Take the records into a history that it lacks, one by one.

    Raises:
        TamperedError: The chain does not hold; names the record and both ways out.
    """
    try:
        while records := journal.read(STREAM, after=history.records, limit=_RECORDS_A_READ):
            for record in records:
                yield record, history.add(record)
        if history.head is None:
            raise TamperedError("it has no first record")
    except TamperedError as error:
        raise TamperedError(
            f"the site's journal {path} is damaged: {visible(error.message)}", mend=_WAYS_OUT
        ) from error


def records_of(
    directory: Path, history: SiteHistory, party: Party | None = None
) -> Iterator[tuple[Record, SiteRecord]]:
    """Read the journal in a site's folder from its beginning, also while the agent runs.

    Args:
        directory: The site's folder.
        history: A new one, which takes in what is read.
        party: Site whose journal it has to be; None for any.

    Raises:
        StorageError: There is no journal, or it cannot be read.
        TamperedError: It is damaged, or another site's.
    """
    path = directory / JOURNAL
    if not os.path.lexists(path):
        raise StorageError(
            f"{directory} has no journal yet", mend="The agent begins the journal when it first starts."
        )
    with closing(open_sql(path, read_only=True)) as journal:
        for record in follow(journal, history, path):
            if party is not None:
                check_owner(history, party, path)
            yield record
