"""Receipts for sites, signed with the aggregator's certificate."""

from __future__ import annotations

from collections.abc import Callable

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.core.journal.receipts import Receipt, ReceivedOutcome
from hanse.core.values.statements import CertifiedStatement
from hanse.pki.credentials import Credentials
from hanse.pki.receipts import sign_receipt


class ReceiptIssuer:
    """Signs receipts; methods may be called from any thread.

    Attributes:
        credentials: The aggregator's.
    """

    def __init__(
        self, credentials: Credentials, registry: MemberRegistry, clock_ms: Callable[[], int]
    ) -> None:
        """Sign for the aggregator's federation.

        Args:
            credentials: The aggregator's.
            registry: Says how far the membership has come.
            clock_ms: The time, milliseconds since 1970.
        """
        self.credentials = credentials
        self._registry = registry
        self._clock_ms = clock_ms

    def issue(self, site: str, received: ReceivedOutcome | None = None) -> CertifiedStatement:
        """A receipt for a site, which is in the membership.

        Args:
            site: The site's name.
            received: An outcome that is recorded; None for a receipt of the membership alone.
        """
        members, restored = self._registry.head, self._registry.restored
        assert members is not None  # the site has enrolled
        receipt = Receipt(
            federation=self.credentials.party.federation,
            site=site,
            members=members,
            restored=None if restored is None else restored[0],
            received=received,
            time_ms=self._clock_ms(),
        )
        return sign_receipt(self.credentials, receipt)
