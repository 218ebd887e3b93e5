"""Service of an aggregator, as its server sees the service: who is admitted, and who serves which request.

Every request comes with the peer that asks, already admitted, as first
argument. The methods raise `HanseError`s, which the server passes on in words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hanse.core.values.peer import Peer
from hanse.core.values.roster import RosterProof
from hanse.storage.base import BlobWriter
from hanse.wire.messages.basics import BlobState, Empty, Hello
from hanse.wire.messages.evidence import AttestReply, AttestRequest
from hanse.wire.messages.members import (
    AcknowledgeRequest,
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Members,
    PeerKeys,
    PeersQuery,
    RemoveRequest,
    RenewRequest,
    RestoreReply,
    SigningKeyReply,
    SigningKeyRequest,
    SignRequest,
)
from hanse.wire.messages.runs import AdmitRequest, EventsReply, Runs, RunStatus, StopRequest, SubmitRequest
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

OpenUpload = Callable[[], BlobWriter]
"""Opens an upload, or raises a `StorageError`. It may read again what is there of it, and looks for room on
the disk, so it is called on a thread."""


class MemberHandler(Protocol):
    """Serves the requests about members."""

    async def enrol(self, request: EnrolRequest) -> Certificates:
        """Trade a token for a certificate."""
        ...

    async def renew(self, peer: Peer, request: RenewRequest) -> Certificates:
        """Give a party its next certificate."""
        ...

    async def signing_key(self, peer: Peer) -> SigningKeyReply:
        """Say which signing key is recorded for the party."""
        ...

    async def record_signing_key(self, peer: Peer, request: SigningKeyRequest) -> SigningKeyReply:
        """Record a party's signing key; the same again changes nothing."""
        ...

    async def peers(self, peer: Peer, query: PeersQuery) -> PeerKeys:
        """List the sites of the federation with their signing keys, a part at a time."""
        ...

    async def members(self, peer: Peer) -> Members:
        """List the enrolled parties."""
        ...

    async def invite(self, peer: Peer, request: InviteRequest) -> InviteReply:
        """Make a one-time token."""
        ...

    async def sign(self, peer: Peer, request: SignRequest) -> Certificates:
        """Enrol a party from a request carried by hand."""
        ...

    async def remove(self, peer: Peer, name: str, request: RemoveRequest) -> Members:
        """Take a party off the allow list, at once."""
        ...

    async def restore(self, peer: Peer) -> RestoreReply:
        """State a restore from a backup that waits to be acknowledged, if there is one."""
        ...

    async def acknowledge(self, peer: Peer, request: AcknowledgeRequest) -> Empty:
        """Take an operator's acknowledgement of a restore; the runs then continue."""
        ...


class SiteHandler(Protocol):
    """Serves the requests of a site about its work."""

    async def next(self, peer: Peer, request: NextRequest) -> Work:
        """Wait for the site's work to change."""
        ...

    async def answer(self, peer: Peer, request: AnswerRequest) -> Empty:
        """Take a site's answer to a plan."""
        ...

    async def result(self, peer: Peer, request: ResultRequest) -> ResultReply:
        """Take an outcome; durable when this returns."""
        ...

    async def progress(self, peer: Peer, request: ProgressRequest) -> Empty:
        """Note that a task is under way."""
        ...

    async def roster(self, peer: Peer, digest: str) -> RosterProof:
        """Give the site's place in the roster of an exchange that asks it."""
        ...

    async def sum_ready(self, peer: Peer, request: SumReadyRequest) -> Empty:
        """Take a site's READY for a masked sum."""
        ...

    async def sum_roster(self, peer: Peer, digest: str) -> SumRoster:
        """Give the READYs of the cell of a member."""
        ...

    async def attest(self, peer: Peer, request: AttestRequest) -> AttestReply:
        """Take a step of an exchange of evidence."""
        ...

    async def journal_head(self, peer: Peer, request: JournalHeadRequest) -> JournalHeadReply:
        """Take a site's word on its journal; the latest record of that journal that was heard of."""
        ...

    async def receipts(self, peer: Peer, request: ReceiptsRequest) -> ReceiptsReply:
        """Hold the receipts that a site holds against the journals."""
        ...


class BlobHandler(Protocol):
    """Serves the requests that move blobs."""

    def blob_to_send(self, peer: Peer, digest: str) -> Path:
        """Where a blob is that this party may have."""
        ...

    def blob_state(self, peer: Peer, digest: str) -> BlobState:
        """How much of this party's upload is here."""
        ...

    def blob_to_take(self, peer: Peer, digest: str, size: int) -> OpenUpload | None:
        """What begins or resumes an upload that this party may make; None where the blob is here already."""
        ...


class RunHandler(Protocol):
    """Serves the requests of operators about runs."""

    async def submit(self, peer: Peer, request: SubmitRequest) -> RunStatus:
        """Begin a run."""
        ...

    async def runs(self, peer: Peer) -> Runs:
        """List the runs."""
        ...

    async def run(self, peer: Peer, run_id: str) -> RunStatus:
        """One run as it stands."""
        ...

    async def events(self, peer: Peer, run_id: str, after: int, wait_s: float) -> EventsReply:
        """Records of a run's journal after `after`, waiting for one where there is none.

        As many as fit in a message (`MAX_MESSAGE`); whoever wants more asks again.
        """
        ...

    async def stop(self, peer: Peer, run_id: str, request: StopRequest) -> RunStatus:
        """End a run."""
        ...

    async def resume(self, peer: Peer, run_id: str) -> RunStatus:
        """Take a stopped or failed run up again."""
        ...

    async def reinstate(self, peer: Peer, run_id: str, site: str) -> RunStatus:
        """Have a site asked again that was suspended."""
        ...

    async def admit(self, peer: Peer, run_id: str, site: str, request: AdmitRequest) -> RunStatus:
        """Permit that another instance of a site gets the keys of a sealed run."""
        ...

    async def export(self, peer: Peer, run_id: str) -> Path:
        """Write the run's journal with its seal to a file (JSON lines)."""
        ...


class Service(Protocol):
    """An aggregator, as its server sees it.

    `admit` is called first, on every request; it refuses parties that are not (or no
    longer) on the allow list.
    """

    @property
    def member_requests(self) -> MemberHandler:
        """Who serves the requests about members."""
        ...

    @property
    def site_requests(self) -> SiteHandler:
        """Who serves the requests of sites."""
        ...

    @property
    def blob_requests(self) -> BlobHandler:
        """Who serves the requests that move blobs."""
        ...

    @property
    def run_requests(self) -> RunHandler:
        """Who serves the requests about runs."""
        ...

    def hello(self) -> Hello:
        """Say who is here."""
        ...

    def authority_pem(self) -> str:
        """The federation's CA certificate, for a site that knows its fingerprint."""
        ...

    def admit(self, certificate_der: bytes) -> Peer:
        """Say who shows this certificate, if the party is on the allow list now.

        Raises:
            CredentialError: It is foreign, replaced, removed or expired.
        """
        ...
