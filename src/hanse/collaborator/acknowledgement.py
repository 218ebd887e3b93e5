"""Acknowledgement by a person that records of the site's journal are missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanse.collaborator.receipts.acknowledgement import acknowledge_aggregator
from hanse.collaborator.receipts.unheard import note_unheard_restore
from hanse.collaborator.restored import Restored, find_restore, forget_note, proved_head, restored_note
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.layout import JOURNAL
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import DamagedJournal, JournalHead, RestoreAcknowledged
from hanse.core.values.wording import bounded
from hanse.errors import ProtocolError, StorageError, TamperedError, TransportError
from hanse.pki.credentials import Credentials
from hanse.transport.base import Upstream

_LONGEST_DAMAGE = 4_000


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person's word on the journal of a site whose agent is stopped.

    Attributes:
        directory: The site's folder, which this process holds.
        journal: The journal in the folder.
        credentials: The site's.
        upstream: The aggregator; one try a call.
        by: User of the operating system who gives it.
        reason: A sentence for the journal; may be empty.
        now: The time, with its zone.
    """

    directory: Path
    journal: SiteJournal
    credentials: Credentials
    upstream: Upstream
    by: str
    reason: str
    now: datetime

    async def record(self) -> str:
        """Record it, so that the agent serves again.

        Returns:
            What was done, in a sentence.

        Raises:
            StorageError: The folder cannot be read or written.
            HanseError: No restore was noticed before, and the aggregator could not be asked.
        """
        try:
            history = self.journal.open()
        except TamperedError as damage:
            return await self._of_damage(damage)
        said = self._of_aggregator()
        restored = restored_note(self.directory)
        if said and restored is None:
            return "; ".join(said)
        if restored is None or self._is_settled(restored, history):
            now_ms = round(self.now.timestamp() * 1000)
            restored = await find_restore(self.journal, self.credentials, self.upstream, now_ms)
            # The agent hears of a restore when it connects, and may have been stopped before.
            if not said and await note_unheard_restore(
                self.directory, self.credentials, self.upstream, now_ms
            ):
                said = self._of_aggregator()
        if restored is None:
            forget_note(self.directory)
            return "; ".join(said) or (
                "there is nothing to acknowledge: the journal has all records that the aggregator has seen, "
                "and the aggregator states no restore that is not acknowledged here"
            )
        return "; ".join([*said, self._of_restore(restored, history)])

    def _of_aggregator(self) -> list[str]:
        """Acknowledge what the receipts have shown, if anything."""
        return acknowledge_aggregator(
            self.directory, self.journal, by=self.by, reason=self.reason, now=self.now
        )

    def _of_restore(self, restored: Restored, history: SiteHistory) -> str:
        assert history.head is not None  # an open journal has a first record
        head = self.journal.append(
            RestoreAcknowledged(
                heard=restored.heard,
                own=history.head,
                by=self.by,
                reason=self.reason,
                generation=history.next_generation(restored.heard),
            )
        )
        forget_note(self.directory)
        return (
            f"record {head.sequence} of the journal acknowledges that records after {head.sequence - 1} are "
            f"missing, and that the aggregator had seen record {restored.heard.sequence}"
        )

    async def _of_damage(self, damage: TamperedError) -> str:
        unknown = ""
        heard: JournalHead | None = None
        try:
            proved = await proved_head(None, self.credentials, self.upstream)
            heard = None if proved is None else proved[0]
        except (TransportError, ProtocolError, StorageError) as error:
            unknown = (
                f". The aggregator could not be asked for the latest record that it has heard of ({error}): "
                "if there is one, the agent notices that the record is missing; acknowledge that too then"
            )
        kept = f"{Path(JOURNAL).stem}.damaged-{self.now:%Y%m%dT%H%M%SZ}{Path(JOURNAL).suffix}"
        instead_of = DamagedJournal(
            damage=bounded(damage.message, _LONGEST_DAMAGE),
            file=kept,
            heard=heard,
            by=self.by,
            reason=self.reason,
        )
        generation = self.journal.history.next_generation(heard)
        self.journal.begin_instead(self.journal.first(generation, instead_of), kept)
        self.journal.open()
        forget_note(self.directory)
        return f"a new journal is begun; the damaged one is kept as {kept}{unknown}"

    def _is_settled(self, restored: Restored, history: SiteHistory) -> bool:
        """Check if a noticed restore is over: acknowledged before, or undone by a later copy."""
        return history.acknowledged(restored.heard) or self.journal.holds(restored.heard)
