"""The aggregator's service: every request of a party, and who serves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from hanse import __version__
from hanse.aggregator.control import ControlRequests
from hanse.aggregator.keeper import RunKeeper
from hanse.aggregator.members import MemberRequests
from hanse.aggregator.options import Options as Options  # what one makes a service of
from hanse.aggregator.registry import Registry
from hanse.aggregator.results import Verifier
from hanse.aggregator.sealing import Exports
from hanse.aggregator.sites import SiteRequests
from hanse.aggregator.transfers import TransferRequests
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.storage.base import BlobStore, Journal
from hanse.transport.base import Service
from hanse.wire.messages_basics import Hello


class AggregatorService:
    """Serves one federation; see `hanse.transport.base.Service` for each request.

    Belongs to one event loop. `start` takes up the runs of the journal,
    `close` lets go of them; nothing is lost in between or by a crash.
    """

    def __init__(
        self,
        options: Options,
        credentials: Credentials,
        registry: Registry,
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
        self._keeper = keeper = RunKeeper(options, registry, journal, blobs, now_ms)
        self.start, self.close = keeper.start, keeper.close

        members = MemberRequests(registry, keeper, options.url, token_id)
        self.admit = registry.admit
        self.enrol, self.renew = members.enrol, members.renew
        self.invite, self.sign = members.invite, members.sign
        self.remove, self.members = members.remove, members.members

        sites = SiteRequests(registry, keeper, Verifier(credentials, blobs, clock), blobs, options.max_blob)
        self.next, self.answer = sites.next, sites.answer
        self.result, self.progress = sites.result, sites.progress

        transfers = TransferRequests(keeper, blobs, options)
        self.blob_to_send, self.blob_to_take = transfers.blob_to_send, transfers.blob_to_take
        self.blob_state = transfers.blob_state

        self._exports = Exports(journal, credentials, options.runs, now_ms)
        control = ControlRequests(registry, keeper, journal, blobs, self._exports)
        self.submit, self.stop, self.resume = control.submit, control.stop, control.resume
        self.runs, self.run, self.events = control.runs, control.run, control.events
        self.take_back, self.export = control.take_back, control.export

    def present(self, credentials: Credentials) -> None:
        """Go on with renewed credentials of the same aggregator."""
        self._credentials = self._exports.credentials = credentials

    def hello(self) -> Hello:
        """Say who is here."""
        return Hello(
            version=__version__, federation=self._credentials.party.federation, time_ms=self._now_ms()
        )

    def authority_pem(self) -> str:
        """The federation's CA certificate."""
        return pem_of(self._credentials.authority)


if TYPE_CHECKING:

    def _keeps_the_promise(service: AggregatorService) -> Service:
        return service
