"""An upstream without a network: a service in the same process, behind the same checks and messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from hanse.concurrency import in_thread
from hanse.core.values.peer import Peer
from hanse.core.values.roster import RosterProof
from hanse.errors import HanseError, ProtocolError, UpdateError
from hanse.storage.base import BlobStore
from hanse.transport.api.common_routes import BLOB, HELLO, UPLOAD, UPLOAD_STATE
from hanse.transport.api.dispatch import admit, answer
from hanse.transport.api.member_routes import PEERS, RECORD_SIGNING_KEY, RENEW, SIGNING_KEY
from hanse.transport.api.route import A, Bulk, Q, Route
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
from hanse.transport.body_io import PIECE, opened, pieces, size_of
from hanse.transport.service import OpenUpload, Service
from hanse.wire.messages.basics import Empty, Hello, decode, report, reported, written
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


class MemoryUpstream(Upstream):
    """Calls the service itself.

    Messages and errors go through their written form, so that nothing passes here
    which would not pass over a network.

    Args:
        service: Who answers.
        certificate: Of the party that asks, DER.
        piece: Bytes of a blob that are copied at a time.
    """

    def __init__(self, service: Service, certificate: bytes, piece: int = PIECE) -> None:
        self._service = service
        self._certificate = certificate
        self._piece = piece

    async def hello(self) -> Hello:
        """See `Upstream.hello`."""
        return await self._call(HELLO, Empty())

    async def next(self, request: NextRequest) -> Work:
        """See `Upstream.next`."""
        return await self._call(NEXT, request)

    async def answer(self, request: AnswerRequest) -> None:
        """See `Upstream.answer`."""
        await self._call(ANSWER, request)

    async def result(self, request: ResultRequest) -> ResultReply:
        """See `Upstream.result`."""
        return await self._call(RESULT, request)

    async def progress(self, request: ProgressRequest) -> None:
        """See `Upstream.progress`."""
        await self._call(PROGRESS, request)

    async def attest(self, request: AttestRequest) -> AttestReply:
        """See `Upstream.attest`."""
        return await self._call(ATTEST, request)

    async def journal_head(self, request: JournalHeadRequest) -> JournalHeadReply:
        """See `Upstream.journal_head`."""
        return await self._call(JOURNAL_HEAD, request)

    async def receipts(self, request: ReceiptsRequest) -> ReceiptsReply:
        """See `Upstream.receipts`."""
        return await self._call(RECEIPTS, request)

    async def signing_key(self) -> SigningKeyReply:
        """See `Upstream.signing_key`."""
        return await self._call(SIGNING_KEY, Empty())

    async def record_signing_key(self, request: SigningKeyRequest) -> SigningKeyReply:
        """See `Upstream.record_signing_key`."""
        return await self._call(RECORD_SIGNING_KEY, request)

    async def peers(self, query: PeersQuery) -> PeerKeys:
        """See `Upstream.peers`."""
        return await self._call(PEERS, query)

    async def roster(self, digest: str) -> RosterProof:
        """See `Upstream.roster`."""
        return await self._call(ROSTER, Empty(), digest=digest)

    async def sum_ready(self, request: SumReadyRequest) -> None:
        """See `Upstream.sum_ready`."""
        await self._call(SUM_READY, request)

    async def sum_roster(self, digest: str) -> SumRoster:
        """See `Upstream.sum_roster`."""
        return await self._call(SUM_ROSTER, Empty(), digest=digest)

    async def renew(self, request: RenewRequest) -> Certificates:
        """See `Upstream.renew`."""
        return await self._call(RENEW, request)

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        """See `Upstream.fetch`."""
        if blobs.has(digest):
            return blobs.path(digest)
        with _as_reported():
            source = self._service.blob_requests.blob_to_send(self._peer(BLOB), digest)
        size = size_of(source)
        if size > max_bytes:
            raise ProtocolError(f"blob {digest} has {size} bytes, and at most {max_bytes} are due")
        write = partial(blobs.write, digest, owner, size)
        return await _copy_over(source, write, size, self._piece)

    async def deliver(self, digest: str, path: Path) -> None:
        """See `Upstream.deliver`."""
        if (await self._call(UPLOAD_STATE, Empty(), digest=digest)).complete:
            return
        size = size_of(path)
        with _as_reported():
            write = self._service.blob_requests.blob_to_take(self._peer(UPLOAD), digest, size)
            if write is not None:
                await _copy_over(path, write, size, self._piece)

    async def close(self) -> None:
        """See `Upstream.close`."""

    async def _call(self, route: Route[Q, A], message: Q, **params: str) -> A:
        async def read() -> bytes:
            return written(message)

        with _as_reported():
            data = await answer(route, self._service, self._certificate, params, read)
        return decode(route.reply, data)

    def _peer(self, route: Bulk) -> Peer:
        peer = admit(route, self._service, self._certificate)
        assert peer is not None
        return peer


async def _copy_over(source: Path, write: OpenUpload, size: int, piece: int) -> Path:
    try:
        return await _copy(source, write, size, piece)
    except UpdateError:
        return await _copy(source, write, size, piece)  # what an earlier try left was wrong, and is dropped


async def _copy(source: Path, write: OpenUpload, size: int, piece: int) -> Path:
    with closing(await opened(write)) as writer:
        async for data in pieces(source, writer.offset, size, piece):
            await in_thread(partial(writer.write, data))
        return await in_thread(writer.commit)


@contextmanager
def _as_reported() -> Iterator[None]:
    """Let out an error as the other end of a connection would make it again."""
    try:
        yield
    except HanseError as error:
        raise reported(report(error)) from error
