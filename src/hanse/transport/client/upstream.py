"""An aggregator reached over HTTPS, as a collaborator sees it."""

from __future__ import annotations

import ssl
from pathlib import Path

from hanse.core.values.roster import RosterProof
from hanse.storage.base import BlobStore
from hanse.transport.api.common_routes import HELLO
from hanse.transport.api.member_routes import PEERS, RECORD_SIGNING_KEY, RENEW, SIGNING_KEY
from hanse.transport.api.site_routes import (
    ANSWER,
    ATTEST,
    JOURNAL_HEAD,
    NEXT,
    PROGRESS,
    RECEIPTS,
    RESULT,
    ROSTER,
    SUM_READY,
    SUM_ROSTER,
)
from hanse.transport.base import Upstream
from hanse.transport.client.address import FROM_ENVIRONMENT, Patience
from hanse.transport.client.connection import HttpsConnection
from hanse.wire.messages.basics import Empty, Hello
from hanse.wire.messages.evidence import AttestReply, AttestRequest
from hanse.wire.messages.members import (
    Certificates,
    PeerKeys,
    PeersQuery,
    RenewRequest,
    SigningKeyReply,
    SigningKeyRequest,
)
from hanse.wire.messages.sites import (
    AnswerRequest,
    JournalHeadReply,
    JournalHeadRequest,
    NextRequest,
    ProgressRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ResultReply,
    ResultRequest,
    Work,
)
from hanse.wire.messages.sums import SumReadyRequest, SumRoster
from hanse.wire.protocol import Versions


class HttpsUpstream(Upstream):
    """One try a call; `hanse.transport.client.retry.retrying` makes several.

    Args:
        url: `https://HOST[:PORT]` of the aggregator.
        ssl_context: From `hanse.pki.tls.client_context`.
        proxy: `http://[USER:PASSWORD@]HOST:PORT`, `"env"` for what the environment says, None for none.
        patience: How long to wait.
        spoken: Versions of the protocol to speak; those of this Hanse unless they are given.

    Raises:
        ConfigError: An address is malformed.
    """

    def __init__(
        self,
        url: str,
        ssl_context: ssl.SSLContext,
        *,
        proxy: str | None = FROM_ENVIRONMENT,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        spoken: Versions | None = None,
    ) -> None:
        self._connection = HttpsConnection(url, ssl_context, proxy=proxy, patience=patience, spoken=spoken)

    def set_ssl_context(self, ssl_context: ssl.SSLContext) -> None:
        """Show another certificate from the next request on; those under way end as they began."""
        self._connection.switch(ssl_context)

    async def hello(self) -> Hello:
        """See `Upstream.hello`."""
        return await self._connection.call(HELLO, Empty())

    async def next(self, request: NextRequest) -> Work:
        """See `Upstream.next`."""
        return await self._connection.call(NEXT, request, wait_s=request.wait_s)

    async def answer(self, request: AnswerRequest) -> None:
        """See `Upstream.answer`."""
        await self._connection.call(ANSWER, request)

    async def result(self, request: ResultRequest) -> ResultReply:
        """See `Upstream.result`."""
        return await self._connection.call(RESULT, request)

    async def progress(self, request: ProgressRequest) -> None:
        """See `Upstream.progress`."""
        await self._connection.call(PROGRESS, request)

    async def attest(self, request: AttestRequest) -> AttestReply:
        """See `Upstream.attest`."""
        return await self._connection.call(ATTEST, request)

    async def journal_head(self, request: JournalHeadRequest) -> JournalHeadReply:
        """See `Upstream.journal_head`."""
        return await self._connection.call(JOURNAL_HEAD, request)

    async def receipts(self, request: ReceiptsRequest) -> ReceiptsReply:
        """See `Upstream.receipts`."""
        return await self._connection.call(RECEIPTS, request)

    async def renew(self, request: RenewRequest) -> Certificates:
        """See `Upstream.renew`."""
        return await self._connection.call(RENEW, request)

    async def signing_key(self) -> SigningKeyReply:
        """See `Upstream.signing_key`."""
        return await self._connection.call(SIGNING_KEY, Empty())

    async def record_signing_key(self, request: SigningKeyRequest) -> SigningKeyReply:
        """See `Upstream.record_signing_key`."""
        return await self._connection.call(RECORD_SIGNING_KEY, request)

    async def peers(self, query: PeersQuery) -> PeerKeys:
        """See `Upstream.peers`."""
        return await self._connection.call(PEERS, query)

    async def roster(self, digest: str) -> RosterProof:
        """See `Upstream.roster`."""
        return await self._connection.call(ROSTER, Empty(), digest=digest)

    async def sum_ready(self, request: SumReadyRequest) -> None:
        """See `Upstream.sum_ready`."""
        await self._connection.call(SUM_READY, request)

    async def sum_roster(self, digest: str) -> SumRoster:
        """See `Upstream.sum_roster`."""
        return await self._connection.call(SUM_ROSTER, Empty(), digest=digest)

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        """See `Upstream.fetch`."""
        return await self._connection.fetch(digest, blobs, owner=owner, max_bytes=max_bytes)

    async def deliver(self, digest: str, path: Path) -> None:
        """See `Upstream.deliver`."""
        await self._connection.deliver(digest, path)

    async def close(self) -> None:
        """See `Upstream.close`."""
        await self._connection.close()
