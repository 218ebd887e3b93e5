"""The aggregator's service: every request of a party, and who serves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hanse import __version__
from hanse.aggregator.evidence.desk import AttestationDesk
from hanse.aggregator.export import JournalExporter
from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.members.restore_hold import RestoreHold
from hanse.aggregator.options import Options
from hanse.aggregator.receipts.claims import ReceiptClaims
from hanse.aggregator.receipts.desk import ReceiptDesk
from hanse.aggregator.receipts.issuer import ReceiptIssuer
from hanse.aggregator.receipts.restores import Restores
from hanse.aggregator.requests.blobs import TransferRequests
from hanse.aggregator.requests.members import MemberRequests
from hanse.aggregator.requests.readies import ReadyDesk
from hanse.aggregator.requests.runs import ControlRequests
from hanse.aggregator.requests.sites import SiteRequests
from hanse.aggregator.requests.verify import StatementVerifier
from hanse.aggregator.run.site_work import WorkList
from hanse.aggregator.run_registry import RunRegistry
from hanse.aggregator.sealed.keys import KeyDesk
from hanse.aggregator.sums.results import MaskedResults
from hanse.core.journal.restores import RestoreNotice
from hanse.core.values.peer import Peer
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.storage.base import BlobStore, Journal
from hanse.wire.messages.basics import Hello


class AggregatorService:
    """Serves one federation; see `hanse.transport.service.Service`.

    Belongs to one event loop. `start` takes up the runs of the journal,
    `close` lets go of them; nothing is lost in between or by a crash.
    """

    def __init__(
        self,
        options: Options,
        credentials: Credentials,
        registry: MemberRegistry,
        journal: Journal,
        blobs: BlobStore,
        clock: Callable[[], datetime],
        token_id: Callable[[], str],
    ) -> None:
        """Put the service together; it serves members at once, and runs from `start` on.

        Args:
            options: What the settings come to.
            credentials: The aggregator's own.
            registry: Who belongs to the federation.
            journal: Where runs are written down.
            blobs: Models, updates and code.
            clock: The time, with its zone.
            token_id: Makes 128 fresh random bits, 32 hexadecimal digits.
        """

        def now_ms() -> int:
            return int(clock().timestamp() * 1000)

        self._credentials = credentials
        self._now_ms = now_ms
        self._registry = registry
        self.evidence = evidence = AttestationDesk.open(
            options.evidence, options.directory, credentials, blobs, clock
        )
        self._run_registry = run_registry = RunRegistry(options, registry, journal, blobs, now_ms, evidence)
        evidence.alive = run_registry.alive
        self._exports = JournalExporter(journal, credentials, options.runs, now_ms)
        layouts = run_registry.layouts
        verifier = StatementVerifier(
            registry,
            run_registry.sealed.blobs_of,
            MaskedResults(layouts),
            evidence,
            None if options.sealing is None else options.sealing.instance.name,
        )
        hold = RestoreHold(options.directory)
        registry.guard = hold.check
        self._restores = restores = Restores(hold, registry, run_registry, credentials.authority, now_ms)
        restores.settle(journal)
        self._issuer = ReceiptIssuer(credentials, registry, now_ms)
        receipts = ReceiptDesk(self._issuer, ReceiptClaims(credentials, registry, journal), restores)
        self.member_requests = MemberRequests(registry, run_registry, restores, options.url, token_id)
        offer, lost = run_registry.model_deltas.offer, run_registry.lost_blobs.look
        evidence.owner_signature = run_registry.sealed.owners_word
        self.keys = keys = KeyDesk(run_registry.sealed, evidence, run_registry.find)
        work = WorkList(blobs.size, options.max_blob, offer, lost, layouts.vector_bytes, evidence.asked, keys)
        readies = ReadyDesk(layouts)
        self.site_requests = SiteRequests(registry, run_registry, verifier, receipts, work, readies, evidence)
        self.blob_requests = TransferRequests(
            *(run_registry, blobs, options, restores, layouts.vector_bytes), evidence.may_work
        )
        self.run_requests = ControlRequests(registry, run_registry, journal, blobs, self._exports, restores)

    @property
    def restore(self) -> RestoreNotice | None:
        """A restore from a backup that waits for an operator; None for none."""
        return self._restores.notice

    async def start(self) -> None:
        """Take up the runs of the journal.

        Raises:
            TamperedError: A run cannot be read, or the membership lacks what a run names.
        """
        await self._run_registry.start(go_on=self._restores.notice is None)

    async def close(self) -> None:
        """Let go of the runs; the journal has all of them."""
        await self._run_registry.close()

    def present(self, credentials: Credentials) -> None:
        """Go on with renewed credentials of the same aggregator."""
        self._credentials = self._exports.credentials = self._issuer.credentials = credentials
        self.evidence.credentials = credentials

    def admit(self, certificate_der: bytes) -> Peer:
        """Say who shows this certificate, if the party is on the allow list now.

        Raises:
            CredentialError: It is foreign, replaced, removed or expired.
        """
        return self._registry.admit(certificate_der)

    def hello(self) -> Hello:
        """Say who is here."""
        return Hello(
            version=__version__, federation=self._credentials.party.federation, time_ms=self._now_ms()
        )

    def authority_pem(self) -> str:
        """The federation's CA certificate."""
        return pem_of(self._credentials.authority)
