"""History of a site's journal: a fold over its records, small enough to keep in memory."""

from __future__ import annotations

from collections import OrderedDict

from pydantic import ValidationError

from hanse.core.journal.chain import GENESIS, Record, check_chain, place_of
from hanse.core.journal.exchange_counts import AskedExchange, ExchangeCounts
from hanse.core.journal.site_records import (
    AggregatorRestoreAcknowledged,
    ContradictionAcknowledged,
    DamagedJournal,
    ExchangeRecord,
    FailureReleased,
    JournalHead,
    PlanAnswerReleased,
    Release,
    RestoreAcknowledged,
    ResultReleased,
    SiteJournalBegun,
    SiteRecord,
    read_site_record,
    site_record_body,
)
from hanse.core.journal.sum_history import SumHistory
from hanse.core.journal.sum_records import SumPrepared
from hanse.core.values.canonical import digest_of
from hanse.core.values.schema import problem_of
from hanse.core.values.update import ReportedMetrics
from hanse.errors import TamperedError

MOST_RELEASES = 10_000
"""Latest releases that are remembered, so that repeating them adds no record."""

_Key = tuple[str, int, str]
"""Run, exchange and, of a masked vector, the digest of the roster that it was masked for."""

_ANSWER = 0
"""Stands for the answer to a run's plan, where the run's exchanges count from 1."""


class SiteHistory:
    """Follows the chain of a site's journal, and remembers what decides about further records.

    Attributes:
        begun: The first record; None of a journal without records.
        restores: Acknowledged restores.
        head: The last record; None of a journal without records.
        exchanges: Exchanges of which something was released, or prepared for a sum.
        sums: Masked sums that the site has a part in.
        submitted_ms: When each run was submitted, as the aggregator said when something left for it first;
            milliseconds since 1970.
    """

    def __init__(self) -> None:
        self.begun: SiteJournalBegun | None = None
        self.restores = 0
        self.head: JournalHead | None = None
        self.exchanges = ExchangeCounts()
        self.sums = SumHistory()
        self.submitted_ms: dict[str, int] = {}
        self._acknowledged: JournalHead | None = None
        self._released: OrderedDict[_Key, tuple[str, JournalHead]] = OrderedDict()

    @property
    def records(self) -> int:
        """Number of records."""
        return 0 if self.head is None else self.head.sequence

    def add(self, record: Record) -> SiteRecord:
        """Take in the next record.

        Returns:
            The record, read.

        Raises:
            TamperedError: The chain does not hold, or this version cannot read the record; says which.
        """
        check_chain([record], GENESIS if self.head is None else self.head.digest, self.records)
        where = place_of(record)
        try:
            read = read_site_record(record.kind, record.body)
        except ValidationError as error:
            raise TamperedError(
                f"{where} ({record.kind[:80]}) is not a record that this version knows: {problem_of(error)}"
            ) from None
        if (self.begun is None) != isinstance(read, SiteJournalBegun):
            raise TamperedError(f"{where} is {record.kind}, which cannot stand there")
        self.extend(record, read)
        return read

    def extend(self, record: Record, read: SiteRecord) -> None:
        """Take in the next record, which this process has written itself: nothing is checked.

        Args:
            record: The record as the journal has it.
            read: Its content.
        """
        generation = 0 if self.head is None else self.head.generation
        match read:
            case SiteJournalBegun():
                self.begun, generation = read, read.generation
                if read.instead_of is not None and read.instead_of.heard is not None:
                    self._acknowledge(read.instead_of.heard)
            case RestoreAcknowledged():
                self.restores, generation = self.restores + 1, read.generation
                self._acknowledge(read.heard)
                self._released.clear()
            case AggregatorRestoreAcknowledged() | ContradictionAcknowledged():
                self._released.clear()  # what leaves after it has a record after it
            case _:
                pass
        self.head = JournalHead(generation=generation, sequence=record.sequence, digest=record.digest)
        if isinstance(read, ExchangeRecord):
            self.exchanges.add(asked_by(read))
        self.sums.add(read)
        # Masked vectors differ by their masks alone, and are limited by the number of attempts.
        if isinstance(read, ResultReleased) and read.secure_sum is None:
            update = None if read.update is None else read.update.digest
            self.exchanges.add_result(asked_by(read), disclosed(read.num_examples, read.metrics, update))
        if isinstance(read, PlanAnswerReleased | ResultReleased | FailureReleased | SumPrepared):
            self._note_submitted(read)
        if isinstance(read, PlanAnswerReleased | ResultReleased | FailureReleased):
            self._released[_key(read)] = _content(read), self.head
            self._released.move_to_end(_key(read))
            if len(self._released) > MOST_RELEASES:
                self._released.popitem(last=False)

    def released(self, release: Release) -> JournalHead | None:
        """The record of this very release, if it is the latest of its run and exchange.

        A record of before a restore or a contradiction that a person acknowledged does not stand for what
        leaves afterwards.
        """
        content, head = self._released.get(_key(release), ("", None))
        return head if content == _content(release) else None

    def acknowledged(self, head: JournalHead) -> bool:
        """Check if a person acknowledged that records up to this one may be missing."""
        return self._acknowledged is not None and head.place <= self._acknowledged.place

    def next_generation(self, heard: JournalHead | None = None) -> int:
        """The generation that begins where records up to `heard` are missing."""
        known = [head.generation for head in (self.head, heard, self._acknowledged) if head is not None]
        return max(known, default=0) + 1

    def damaged(self) -> DamagedJournal | None:
        """The damaged journal that this one stands in place of, if it does."""
        return None if self.begun is None else self.begun.instead_of

    def _note_submitted(self, read: Release | SumPrepared) -> None:
        if read.submitted_ms is not None:
            self.submitted_ms.setdefault(read.run_id, read.submitted_ms)

    def _acknowledge(self, head: JournalHead) -> None:
        if not self.acknowledged(head):
            self._acknowledged = head


def asked_by(record: ExchangeRecord) -> AskedExchange:
    """The exchange that a record is about."""
    return AskedExchange(
        run_id=record.run_id,
        plan_digest=record.plan_digest,
        exchange=record.exchange,
        round_number=record.round_number,
        task=record.task,
        model=record.model,
        inputs=record.inputs,
    )


def disclosed(num_examples: int, metrics: ReportedMetrics, update: str | None) -> str:
    """Digest of what a result discloses.

    Args:
        num_examples: Number of examples.
        metrics: Metrics, as they leave.
        update: Digest of the update; None for none.
    """
    return digest_of([num_examples, dict(metrics), update])


def _key(release: Release) -> _Key:
    if isinstance(release, PlanAnswerReleased):
        return release.run_id, _ANSWER, ""
    place = release.secure_sum if isinstance(release, ResultReleased) else None
    return release.run_id, release.exchange, "" if place is None else place.rho


def _content(release: Release) -> str:
    return digest_of({"kind": release.kind, "body": site_record_body(release)})
