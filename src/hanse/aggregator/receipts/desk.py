"""Receipts as the requests of sites deal with them: shown ones are judged, new ones are given."""

from __future__ import annotations

import asyncio

from hanse.aggregator.receipts.claims import Claim, ReceiptClaims
from hanse.aggregator.receipts.issuer import ReceiptIssuer
from hanse.aggregator.receipts.restores import Restores
from hanse.aggregator.run.controller import RunController
from hanse.core.journal.membership import Restored
from hanse.core.journal.receipts import ReceivedOutcome
from hanse.core.values.canonical import digest_of
from hanse.core.values.peer import Peer
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.wire.messages.sites import ReceiptsReply, ReceiptsRequest, TaskOutcome


class ReceiptDesk:
    """Judges and gives receipts; belongs to one event loop, except for `judge`."""

    def __init__(self, issuer: ReceiptIssuer, claims: ReceiptClaims, restores: Restores) -> None:
        self._issuer = issuer
        self._claims = claims
        self._restores = restores

    def check(self) -> None:
        """Take nothing while a restore waits for an operator.

        Raises:
            StorageError: One does.
        """
        self._restores.check()

    def judge(self, peer: Peer, shown: CertifiedStatement | None) -> Claim:
        """Hold the receipt that comes with an outcome against the journals; may read from the disk."""
        return Claim(None) if shown is None else self._claims.judge(peer.party.name, shown)

    async def heed(self, peer: Peer, shown: CertifiedStatement | None, claim: Claim) -> None:
        """See `Restores.heed`."""
        if shown is not None:
            await self._restores.heed(peer, shown, claim)

    def issue(
        self, outcome: TaskOutcome, stated: SignedStatement, controller: RunController, claim: Claim
    ) -> CertifiedStatement:
        """The receipt of an outcome that is recorded.

        Args:
            outcome: What the site stated.
            stated: The statement.
            controller: The run.
            claim: What the site has shown with the outcome.
        """
        shown = None if claim.receipt is None else claim.receipt.received
        head = controller.head
        received = ReceivedOutcome(
            run_id=outcome.run_id,
            exchange=outcome.exchange,
            outcome=digest_of(stated.body),
            journal=head,
            known=None if shown is None or shown.run_id != outcome.run_id else shown.journal,
        )
        self._claims.note_issued(outcome.site, outcome.run_id, head)
        return self._issuer.issue(outcome.site, received)

    async def exchange(
        self, peer: Peer, request: ReceiptsRequest, restored: Restored | None
    ) -> ReceiptsReply:
        """Judge all that an agent shows when it connects, and give it a receipt of the membership.

        Args:
            peer: The site.
            request: What it shows.
            restored: The last restore that an operator acknowledged.

        Raises:
            StorageError: A restore waits for an operator.
        """
        self._restores.heard.add(peer.party.name)
        for shown in request.receipts:
            claim = await asyncio.to_thread(self._claims.judge, peer.party.name, shown)
            if claim.lost is not None:
                await self._restores.heed(peer, shown, claim)
        self._restores.check()
        return ReceiptsReply(
            receipt=self._issuer.issue(peer.party.name),
            restored=None if restored is None else restored.statement,
        )
