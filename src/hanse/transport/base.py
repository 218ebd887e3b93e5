"""Upstream of a collaborator: the aggregator, whatever carries the requests.

`hanse.transport.service.Service` is the other end; the HTTPS client and server
stand between the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hanse.core.values.roster import RosterProof
from hanse.storage.base import BlobStore
from hanse.wire.messages.basics import Hello
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


class Upstream(Protocol):
    """The aggregator, as a collaborator sees it.

    Every method raises `TransportError` for what may pass, and another
    `HanseError` (rebuilt from the aggregator's own words) for what will not.
    """

    async def hello(self) -> Hello:
        """Ask who is there."""
        ...

    async def next(self, request: NextRequest) -> Work:
        """Wait until the site's work differs from what it knows, at most `wait_s`."""
        ...

    async def answer(self, request: AnswerRequest) -> None:
        """Give the site's signed answer to a plan; twice is no error."""
        ...

    async def result(self, request: ResultRequest) -> ResultReply:
        """Give a signed outcome; durable when this returns; twice is no error."""
        ...

    async def progress(self, request: ProgressRequest) -> None:
        """Say that a task is under way."""
        ...

    async def attest(self, request: AttestRequest) -> AttestReply:
        """Take a step of an exchange of evidence."""
        ...

    async def journal_head(self, request: JournalHeadRequest) -> JournalHeadReply:
        """State the last record of the site's journal; the latest that the aggregator has heard of."""
        ...

    async def receipts(self, request: ReceiptsRequest) -> ReceiptsReply:
        """Show the last receipts that the site holds; a receipt of the membership."""
        ...

    async def renew(self, request: RenewRequest) -> Certificates:
        """Get the next certificate."""
        ...

    async def signing_key(self) -> SigningKeyReply:
        """Ask which signing key is recorded for this party."""
        ...

    async def record_signing_key(self, request: SigningKeyRequest) -> SigningKeyReply:
        """Have this party's signing key recorded; a repetition changes nothing."""
        ...

    async def peers(self, query: PeersQuery) -> PeerKeys:
        """Ask for the sites of the federation with their signing keys, a part at a time."""
        ...

    async def roster(self, digest: str) -> RosterProof:
        """Ask for the site's place in the roster of an exchange."""
        ...

    async def sum_ready(self, request: SumReadyRequest) -> None:
        """Give the site's READY for a masked sum; durable when this returns; a repetition is accepted."""
        ...

    async def sum_roster(self, digest: str) -> SumRoster:
        """Ask for the READYs of the site's cell, by the digest of the roster."""
        ...

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        """Bring a blob into `blobs`, resuming where an earlier try stopped."""
        ...

    async def deliver(self, digest: str, path: Path) -> None:
        """Take a file to the aggregator as a blob, resuming where an earlier try stopped."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
