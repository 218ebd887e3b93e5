"""Receipts that sites show, held against the journals: what is missing shows a restore from a backup."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.journal.receipts import Receipt, read_receipt
from hanse.core.journal.restores import LostRecord
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import HanseError, ProtocolError
from hanse.pki.credentials import Credentials
from hanse.pki.receipts import verify_receipt
from hanse.storage.base import Journal

logger = logging.getLogger(__name__)

_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A judgement on a receipt that a site shows.

    Attributes:
        receipt: The receipt; None where it proves nothing, because this aggregator did not sign it.
        lost: A record that it names and that the journals lack; None where they have all.
        outdated: Whether it is from before the last restore that an operator acknowledged, which the site has
            yet to acknowledge too.
    """

    receipt: Receipt | None
    lost: LostRecord | None = None
    outdated: bool = False


class ReceiptClaims:
    """Judges the receipts that sites show; `judge` may be called from any thread.

    Args:
        credentials: The aggregator's.
        registry: The membership.
        journal: With the journals of all runs.
    """

    def __init__(self, credentials: Credentials, registry: MemberRegistry, journal: Journal) -> None:
        self._federation = credentials.party.federation
        self._authority = credentials.authority
        self._registry = registry
        self._journal = journal
        self._issued: OrderedDict[tuple[str, str], ChainHead] = OrderedDict()

    def note_issued(self, site: str, run_id: str, head: ChainHead) -> None:
        """Remember what the last receipt of a site in a run names: it is what the site shows next."""
        self._issued[site, run_id] = head
        self._issued.move_to_end((site, run_id))
        if len(self._issued) > _MOST_REMEMBERED:
            self._issued.popitem(last=False)

    def judge(self, site: str, statement: CertifiedStatement) -> Claim:
        """Hold a receipt against the journals.

        Its signature is checked only where a record is missing: a site that merely claims a record
        stops nothing.
        """
        try:
            receipt = read_receipt(statement.body)
            if (receipt.federation, receipt.site) != (self._federation, site):
                raise ProtocolError(f"it is of {receipt.site} in {receipt.federation}")
            if self._is_outdated(receipt):
                return Claim(receipt, outdated=True)
            missing = self._missing(receipt)
            if missing is None:
                return Claim(receipt)
            verify_receipt(statement, self._authority)
        except HanseError as error:
            logger.warning("%s shows a receipt that proves nothing: %s", site, error.message)
            return Claim(None)
        stream, heard = missing
        return Claim(receipt, LostRecord(stream=stream, heard=heard, own=self._last(stream), site=site))

    def _is_outdated(self, receipt: Receipt) -> bool:
        """Check if a restore was acknowledged since."""
        last = self._registry.restored
        if last is None or receipt.restored == last[0]:
            return False
        return receipt.restored is None or self._registry.holds(receipt.restored)

    def _missing(self, receipt: Receipt) -> tuple[str, ChainHead] | None:
        """The first record that a receipt names and the journals lack, with its stream."""
        for head in (receipt.restored, receipt.members):
            if head is not None and not self._registry.holds(head):
                return STREAM, head
        received = receipt.received
        if received is None or self._issued.get((receipt.site, received.run_id)) == received.journal:
            return None
        found = self._journal.read(received.run_id, after=received.journal.sequence - 1, limit=1)
        if found and ChainHead.of(found[0]) == received.journal:
            return None
        return received.run_id, received.journal

    def _last(self, stream: str) -> ChainHead | None:
        records = self._journal.read(stream)
        return ChainHead.of(records[-1]) if records else None
