"""A federation to test transports with: parties with certificates, and a service that keeps what it gets."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives.serialization import Encoding

from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer
from hanse.core.values.roster import RosterProof
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import CredentialError, LateResultError, RunError
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of, read_der
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.storage.base import BlobStore
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.service import OpenUpload
from hanse.wire.messages.basics import BlobState, Empty, Hello
from hanse.wire.messages.members import (
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Members,
    PeerKey,
    PeerKeys,
    PeersQuery,
    RemoveRequest,
    RenewRequest,
    SigningKeyReply,
    SigningKeyRequest,
    SignRequest,
)
from hanse.wire.messages.runs import EventsReply, JournalRecord, Runs, RunStatus, StopRequest, SubmitRequest
from hanse.wire.messages.sites import (
    AnswerRequest,
    NextRequest,
    ProgressRequest,
    ResultReply,
    ResultRequest,
    Work,
)

Run = Callable[[Any], Any]
Connect = Callable[..., HttpsUpstream]

DATA = bytes(range(256)) * 40_000  # about ten pieces of a stream
DIGEST = sha256(DATA)
HALF = len(DATA) // 2
PROGRESS = ProgressRequest(run_id="demo-1", exchange=1)

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
"""OpenSSL looks at the real clock, so the tests' clock stands where that one is."""


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a coroutine on the event loop that the services use; servers stand still between two."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


def new_authority() -> Authority:
    return Authority.create("north", NOW - 30 * DAY, 3650 * DAY)


def enrolled(
    authority: Authority,
    directory: Path,
    name: str = "hospital-a",
    role: Role = Role.COLLABORATOR,
    since: datetime = NOW,
) -> Credentials:
    """A party that joined, with a certificate for one day."""
    key = new_key()
    hosts = ("localhost", "127.0.0.1") if role is Role.AGGREGATOR else ()
    party = Party(authority.federation, role, name)
    certificate = authority.issue(key.public_key(), party, now=since, lifetime=DAY, hosts=hosts)
    folder = directory / f"{name}-{certificate.serial_number}"
    SigningKey.create().save(folder)
    return Credentials.save_new(
        folder,
        key,
        pem_of(certificate),
        pem_of(authority.certificate),
        since,
    )


@functools.lru_cache(maxsize=1_024)
def _signing_key(folder: Path) -> SigningKey:
    return SigningKey.load(folder)


def signing_key(credentials: Credentials) -> SigningKey:
    """The signing key that lies beside a party's credentials; it must not change meanwhile."""
    return _signing_key(credentials.directory)


def der(credentials: Credentials) -> bytes:
    return credentials.certificate.public_bytes(Encoding.DER)


def status(phase: str = "running", events: int = 0) -> RunStatus:
    return RunStatus(
        run_id="demo-1",
        plan_name="demo",
        plan_digest="0" * 64,
        phase=phase,
        rounds=2,
        rounds_committed=0,
        submitted_by="op",
        submitted_ms=0,
        events=events,
    )


def record(sequence: int) -> JournalRecord:
    return JournalRecord(
        stream="demo-1",
        sequence=sequence,
        time_ms=sequence,
        kind="RoundOpened",
        body={"round_number": sequence},
        previous="0" * 64,
        digest="1" * 64,
    )


class FakeService:
    """Admits every certificate but those removed, and keeps what it is given.

    Attributes:
        removed: Names that are admitted no longer.
        version: Of the work; `changed` wakes who waits for another.
        asked: Every request that was served, with who asked.
        failing: Raised by `progress`.
    """

    def __init__(self, authority: Authority, blobs: BlobStore) -> None:
        self.authority = authority
        self.blobs = blobs
        self.removed: set[str] = set()
        self.version = "1"
        self.waiting = asyncio.Event()
        self.changed = asyncio.Event()
        self.asked: list[tuple[str, str, Any]] = []
        self.results: set[str] = set()
        self.failing: Exception | None = None
        self.records: list[JournalRecord] = []
        self.phase = "running"
        self.export_path: Path | None = None
        self.member_requests = self.site_requests = self.blob_requests = self.run_requests = self

    def change(self) -> None:
        self.version += "1"
        self.changed.set()

    def hello(self) -> Hello:
        return Hello(version="1", federation=self.authority.federation, time_ms=0)

    def authority_pem(self) -> str:
        return pem_of(self.authority.certificate)

    def admit(self, certificate_der: bytes) -> Peer:
        peer = peer_of(read_der(certificate_der))
        if peer.party.name in self.removed:
            raise CredentialError(f"{peer.party.name} was removed", mend="Ask the operator why.")
        return peer

    async def enrol(self, request: EnrolRequest) -> Certificates:
        self.asked.append(("enrol", "", request))
        return Certificates(certificate="certificate", authority=self.authority_pem())

    async def renew(self, peer: Peer, request: RenewRequest) -> Certificates:
        self.asked.append(("renew", peer.party.name, request))
        return Certificates(certificate="renewed", authority=self.authority_pem())

    async def next(self, peer: Peer, request: NextRequest) -> Work:
        if request.known == self.version:
            self.waiting.set()
            try:
                async with asyncio.timeout(request.wait_s):
                    await self.changed.wait()
            except TimeoutError:
                pass
        return Work(version=self.version)

    async def answer(self, peer: Peer, request: AnswerRequest) -> Empty:
        self.asked.append(("answer", peer.party.name, request))
        return Empty()

    async def result(self, peer: Peer, request: ResultRequest) -> ResultReply:
        if request.statement.body.get("late"):
            raise LateResultError("exchange 3 had closed", mend="Go on with the next.")
        duplicate = request.statement.signature in self.results
        self.results.add(request.statement.signature)
        receipt = CertifiedStatement(body={}, certificate="-", signature="-")
        return ResultReply(duplicate=duplicate, receipt=receipt)

    async def progress(self, peer: Peer, request: ProgressRequest) -> Empty:
        if self.failing is not None:
            raise self.failing
        self.asked.append(("progress", peer.party.name, request))
        return Empty()

    def blob_to_send(self, peer: Peer, digest: str) -> Path:
        return self.blobs.path(digest)

    def blob_state(self, peer: Peer, digest: str) -> BlobState:
        if self.blobs.has(digest):
            return BlobState(complete=True, offset=self.blobs.size(digest))
        return BlobState(complete=False, offset=self.blobs.partial_size(digest, peer.party.name))

    def blob_to_take(self, peer: Peer, digest: str, size: int) -> OpenUpload | None:
        return None if self.blobs.has(digest) else lambda: self.blobs.write(digest, peer.party.name, size)

    async def submit(self, peer: Peer, request: SubmitRequest) -> RunStatus:
        self.asked.append(("submit", peer.party.name, request))
        return status()

    async def runs(self, peer: Peer) -> Runs:
        return Runs(runs=(status(),))

    async def run(self, peer: Peer, run_id: str) -> RunStatus:
        if run_id != "demo-1":
            raise RunError(f"there is no run {run_id}")
        return status()

    async def events(self, peer: Peer, run_id: str, after: int, wait_s: float) -> EventsReply:
        if not self.records[after:] and wait_s:
            self.waiting.set()
            self.changed.clear()
            await self.changed.wait()
        return EventsReply(records=tuple(self.records[after : after + 2]), status=status(self.phase))

    async def stop(self, peer: Peer, run_id: str, request: StopRequest) -> RunStatus:
        self.asked.append(("stop", run_id, request))
        return status("stopped")

    async def resume(self, peer: Peer, run_id: str) -> RunStatus:
        self.asked.append(("resume", run_id, None))
        return status()

    async def export(self, peer: Peer, run_id: str) -> Path:
        assert self.export_path is not None
        return self.export_path

    async def signing_key(self, peer: Peer) -> SigningKeyReply:
        return SigningKeyReply(fingerprint="0" * 64)

    async def peers(self, peer: Peer, query: PeersQuery) -> PeerKeys:
        return PeerKeys(peers=(PeerKey(name="hospital-a", signing_key="0" * 64),))

    async def record_signing_key(self, peer: Peer, request: SigningKeyRequest) -> SigningKeyReply:
        self.asked.append(("record_signing_key", peer.party.name, request))
        return SigningKeyReply(fingerprint=request.enrolment.claimed_signer)

    async def roster(self, peer: Peer, digest: str) -> RosterProof:
        self.asked.append(("roster", peer.party.name, digest))
        return RosterProof(place=0, size=1)

    async def members(self, peer: Peer) -> Members:
        return Members(members=())

    async def invite(self, peer: Peer, request: InviteRequest) -> InviteReply:
        self.asked.append(("invite", peer.party.name, request))
        return InviteReply(token="a token")

    async def sign(self, peer: Peer, request: SignRequest) -> Certificates:
        self.asked.append(("sign", request.name, request))
        return Certificates(certificate="signed", authority=self.authority_pem())

    async def remove(self, peer: Peer, name: str, request: RemoveRequest) -> Members:
        self.asked.append(("remove", name, request))
        self.removed.add(name)
        self.change()
        return Members(members=())
