"""The way from an agent to the aggregator in a `ServiceWorld`: late, lost, doubled, overtaken, cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.deterministic.virtual_loop import Process, never
from tests.in_memory_transport import MemoryUpstream

from hanse.core.values.canonical import canonical_json
from hanse.core.values.roster import RosterProof
from hanse.core.values.schema import Strict
from hanse.errors import HanseError, TransportError
from hanse.storage.base import BlobStore
from hanse.transport.base import Upstream
from hanse.wire.messages.basics import Hello, encode
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

if TYPE_CHECKING:
    from tests.deterministic.service_world import ServiceWorld

T = TypeVar("T")
Call = Callable[[Upstream], Awaitable[T]]

PIECE = 200
"""Bytes of a blob that travel at a time: few, so that a transfer takes several steps."""
TIMEOUT_S = 40.0
"""How long nothing may come; longer than a question for work waits."""


class WeatheredUpstream(Upstream):
    """Carries requests through the weather to whatever life of the aggregator there is.

    Args:
        world: With the weather, and the aggregator.
        site: Whose agent asks.
        certificate: Its own, DER.
        client: The agent's process.
    """

    def __init__(self, world: ServiceWorld, site: str, certificate: bytes, client: Process) -> None:
        self._world = world
        self._site = site
        self._certificate = certificate
        self._client = client

    async def hello(self) -> Hello:
        return await self._carry("hello", lambda upstream: upstream.hello())

    async def next(self, request: NextRequest) -> Work:
        async def ask(upstream: Upstream) -> Work:
            work = await upstream.next(request)
            self._world.checks.asked(self._site, work)
            return work

        return await self._carry("next", ask, request)

    async def answer(self, request: AnswerRequest) -> None:
        await self._carry("answer", lambda upstream: upstream.answer(request), request)

    async def result(self, request: ResultRequest) -> ResultReply:
        async def ask(upstream: Upstream) -> ResultReply:
            reply = await upstream.result(request)
            self._world.checks.taken(request.statement.body)
            return reply

        return await self._carry("result", ask, request)

    async def progress(self, request: ProgressRequest) -> None:
        await self._carry("progress", lambda upstream: upstream.progress(request), request)

    async def attest(self, request: AttestRequest) -> AttestReply:
        return await self._carry("attest", lambda upstream: upstream.attest(request), request)

    async def journal_head(self, request: JournalHeadRequest) -> JournalHeadReply:
        return await self._carry("journal-head", lambda upstream: upstream.journal_head(request), request)

    async def receipts(self, request: ReceiptsRequest) -> ReceiptsReply:
        return await self._carry("receipts", lambda upstream: upstream.receipts(request), request)

    async def signing_key(self) -> SigningKeyReply:
        return await self._carry("signing-key", lambda upstream: upstream.signing_key())

    async def record_signing_key(self, request: SigningKeyRequest) -> SigningKeyReply:
        return await self._carry("record-signing-key", lambda upstream: upstream.record_signing_key(request))

    async def peers(self, query: PeersQuery) -> PeerKeys:
        return await self._carry("peers", lambda upstream: upstream.peers(query))

    async def roster(self, digest: str) -> RosterProof:
        return await self._carry("roster", lambda upstream: upstream.roster(digest))

    async def sum_ready(self, request: SumReadyRequest) -> None:
        await self._carry("sum-ready", lambda upstream: upstream.sum_ready(request), request)

    async def sum_roster(self, digest: str) -> SumRoster:
        self._world.sent.append((self._site, "sum-roster", canonical_json(digest)))
        return await self._carry("sum-roster", lambda upstream: upstream.sum_roster(digest))

    async def renew(self, request: RenewRequest) -> Certificates:
        return await self._carry("renew", lambda upstream: upstream.renew(request))

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        def ask(upstream: Upstream) -> Awaitable[Path]:
            return upstream.fetch(digest, blobs, owner=owner, max_bytes=max_bytes)

        return await self._carry("fetch", ask)

    async def deliver(self, digest: str, path: Path) -> None:
        self._world.sent.append((self._site, "deliver", path.read_bytes()))
        await self._carry("deliver", lambda upstream: upstream.deliver(digest, path))

    async def close(self) -> None:
        pass

    async def _carry(self, what: str, call: Call[T], message: Strict | None = None) -> T:
        """One try."""
        world, loop = self._world, asyncio.get_running_loop()
        if message is not None:
            world.sent.append((self._site, what, encode(message)))
        await self._point(f"before {what}")
        reply: asyncio.Future[T] = loop.create_future()
        transfers = what in ("fetch", "deliver")
        serving: list[asyncio.Task[None]] = []

        def arrive(counts: bool) -> None:
            service = world.aggregator.service
            if service is None:
                loop.call_later(world.delay_s(), _refuse, reply, "the connection was refused")
                return
            world.aggregator.connected.append(reply)
            upstream = MemoryUpstream(service, self._certificate, PIECE)
            # The end that writes is the one whose files are left open when its process dies.
            here, there = self._client, world.aggregator.process
            ours, theirs = (here, there) if what == "fetch" else (there, here)
            waits = counts and not world.swallows(self._site, what)
            work = self._serve(upstream, call, reply if waits else None)
            task = world.loop.spawn(ours, work, f"{what} of {self._site}")
            if transfers:
                theirs.mourners.append(task.cancel)
                serving.append(task)

        if not world.chance(world.fault_plan.lost):
            loop.call_later(world.delay_s(), arrive, True)
        # What is doubled on the way may come at any time later; transfers are streams, and are not.
        if not transfers and world.chance(world.fault_plan.duplicated):
            loop.call_later(world.delay_s() + world.random.random() * 90, arrive, False)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await reply
        except TimeoutError:
            raise TransportError(f"no reply to {what} of {self._site} within {TIMEOUT_S:g} s") from None
        finally:
            for task in serving:
                task.cancel()
        await self._point(f"after {what}")
        return answer

    async def _serve(self, upstream: Upstream, call: Call[T], reply: asyncio.Future[T] | None) -> None:
        """The aggregator's side, in its process."""
        world, loop = self._world, asyncio.get_running_loop()
        result: Any = None
        error: HanseError | None = None
        try:
            result = await call(upstream)
        except HanseError as raised:
            error = raised
        if reply is None or world.chance(world.fault_plan.lost):
            return
        loop.call_later(world.delay_s(), _settle, reply, result, error)

    async def _point(self, place: str) -> None:
        if self._world.dies(self._client, place):
            await never()


def _settle(reply: asyncio.Future[Any], result: Any, error: HanseError | None) -> None:
    if reply.done():
        return  # nobody waits any more
    if error is None:
        reply.set_result(result)
    else:
        reply.set_exception(error)


def _refuse(reply: asyncio.Future[Any], why: str) -> None:
    _settle(reply, None, TransportError(why))


def cut(reply: asyncio.Future[Any]) -> None:
    """The other end has died, and its machine says so."""
    _refuse(reply, "the connection was reset")
