"""Restores from a backup: the aggregator holds back from the first proof to an operator's acknowledgement."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from cryptography import x509

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.members.restore_hold import REMEDY, RestoreHold
from hanse.aggregator.receipts.claims import Claim
from hanse.aggregator.run_registry import RunRegistry
from hanse.core.journal.membership import Restored
from hanse.core.journal.restores import RestoreNotice, read_acknowledgement
from hanse.core.values.identity import Role
from hanse.core.values.peer import Peer
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import RunError, StorageError, TrustError
from hanse.pki.receipts import verify_acknowledgement
from hanse.storage.base import Journal

logger = logging.getLogger(__name__)


class Restores:
    """Notices restores, holds the runs meanwhile, and lets them continue; belongs to one event loop.

    Attributes:
        heard: Sites that have shown their receipts since the aggregator started.

    Args:
        hold: Keeps the notice.
        registry: The membership.
        run_registry: The runs.
        authority: The certificate of the federation's authority.
        clock_ms: The time, milliseconds since 1970.
    """

    def __init__(
        self,
        hold: RestoreHold,
        registry: MemberRegistry,
        run_registry: RunRegistry,
        authority: x509.Certificate,
        clock_ms: Callable[[], int],
    ) -> None:
        self._hold = hold
        self._registry = registry
        self._run_registry = run_registry
        self._authority = authority
        self._clock_ms = clock_ms
        self.heard: set[str] = set()

    def check(self) -> None:
        """See `RestoreHold.check`."""
        self._hold.check()

    @property
    def notice(self) -> RestoreNotice | None:
        """The restore that waits for an operator; None for none."""
        return self._hold.notice

    def settle(self, journal: Journal) -> None:
        """Forget a notice that is over, as the aggregator starts.

        A later copy of the journal was put back, or the restore was acknowledged and the process ended
        before it could forget the notice.

        Raises:
            StorageError: The notice cannot be deleted.
        """
        notice = self._hold.notice
        if notice is None:
            return
        lost = notice.lost
        found = journal.read(lost.stream, after=lost.heard.sequence - 1, limit=1)
        restored = self._registry.restored
        if found and found[0].digest == lost.heard.digest:
            logger.info("the journal of %s has record %d again", lost.stream, lost.heard.sequence)
            self._hold.end()
        elif restored is not None and read_acknowledgement(restored[1].statement)[0].lost == lost:
            self._hold.end()
        else:
            logger.error("nothing is recorded until an operator has acted: %s. %s", notice, REMEDY)

    async def heed(self, peer: Peer, statement: CertifiedStatement, claim: Claim) -> None:
        """Take nothing of a site whose receipt shows a restore.

        Raises:
            StorageError: The aggregator was restored: an operator has to act, or has acted, and a person
                of the site has to acknowledge it too.
        """
        if claim.lost is not None:
            await self._begin(RestoreNotice(lost=claim.lost, receipt=statement, noticed_ms=self._clock_ms()))
        self._hold.check()
        if claim.outdated:
            raise StorageError(
                "the aggregator was restored from a backup, as its operator acknowledged; nothing is taken "
                f"of {peer.party.name} until a person of the site has acknowledged it too",
                mend="With the agent stopped, run `hanse collaborator acknowledge --reason '...'`.",
            )

    async def acknowledge(self, peer: Peer, statement: CertifiedStatement) -> None:
        """Take an operator's acknowledgement, and let the runs continue.

        Raises:
            RunError: No restore waits to be acknowledged, or another one.
            TrustError: Another party signed it.
        """
        notice = self._hold.notice
        if notice is None:
            raise RunError("there is nothing to acknowledge: no receipt shows that records are missing here")
        said, key = verify_acknowledgement(statement, self._authority)
        if (said.operator, peer.party.role) != (peer.party.name, Role.OPERATOR):
            raise TrustError(f"{peer.party.uri} submits the acknowledgement of {said.operator}")
        recorded = self._registry.membership.member(said.operator, Role.OPERATOR).signing_key
        if key != recorded:
            raise TrustError(
                f"the acknowledgement is signed with the signing key {key[:16]}, and "
                f"{'no key' if recorded is None else recorded[:16]} is recorded for {said.operator}",
                mend="Use the operator's own key or, with the aggregator stopped, acknowledge in its folder.",
            )
        if said.lost != notice.lost:
            raise RunError("another restore was noticed than the one that is acknowledged", mend="Try again.")
        if said.time_ms <= notice.noticed_ms:  # sites know a new acknowledgement from an old one by its time
            raise RunError(
                "the acknowledgement is dated before the restore was noticed",
                mend="Set the operator's machine's clock, by NTP.",
            )
        event = Restored(by=said.operator, statement=statement)
        await asyncio.to_thread(self._registry.acknowledge_restore, event)
        await asyncio.to_thread(self._hold.end)
        logger.warning("%s acknowledged that %s", said.operator, notice)
        await self._run_registry.go_on()
        self._run_registry.signals.notify(self._registry.membership.names(Role.COLLABORATOR))

    async def _begin(self, notice: RestoreNotice) -> None:
        if self._hold.notice is None:
            logger.error("%s. %s", notice, REMEDY)
            try:
                await asyncio.to_thread(self._hold.begin, notice)
            finally:
                await self._run_registry.pause()
                self._run_registry.signals.notify(self._registry.membership.names(Role.COLLABORATOR))
