"""Service of an aggregator, as its server sees the service: who is admitted, and who serves which request.

Every request comes with the party that asks, already authenticated, as first
argument. The methods raise `HanseError`s, which the server passes on in words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hanse.core.values.identity import Party
from hanse.storage.base import BlobWriter
from hanse.wire.messages.basics import BlobState, Empty, Hello
from hanse.wire.messages.members import (
    Certificates,
    EnrolRequest,
    InviteReply,
    InviteRequest,
    Members,
    RenewRequest,
    SignRequest,
)
from hanse.wire.messages.runs import EventsReply, Runs, RunStatus, StopRequest, SubmitRequest
from hanse.wire.messages.sites import (
    AnswerRequest,
    JournalHeadReply,
    JournalHeadRequest,
    NextRequest,
    ProgressRequest,
    ResultReply,
    ResultRequest,
    Work,
)

OpenUpload = Callable[[], BlobWriter]
"""Opens an upload, or raises a `StorageError`. It may read again what is there of it, and looks for room on
the disk, so it is called on a thread."""


class MemberHandler(Protocol):
    """Serves the requests about members."""

    async def enrol(self, request: EnrolRequest) -> Certificates:
        """Trade a token for a certificate."""
        ...

    async def renew(self, party: Party, request: RenewRequest) -> Certificates:
        """Give a party its next certificate."""
        ...

    async def members(self, party: Party) -> Members:
        """List the enrolled parties."""
        ...

    async def invite(self, party: Party, request: InviteRequest) -> InviteReply:
        """Make a one-time token."""
        ...

    async def sign(self, party: Party, request: SignRequest) -> Certificates:
        """Enrol a party from a request carried by hand."""
        ...

    async def remove(self, party: Party, name: str) -> Members:
        """Take a party off the allow list, at once."""
        ...


class SiteHandler(Protocol):
    """Serves the requests of a site about its work."""

    async def next(self, party: Party, request: NextRequest) -> Work:
        """Wait for the site's work to change."""
        ...

    async def answer(self, party: Party, request: AnswerRequest) -> Empty:
        """Take a site's answer to a plan."""
        ...

    async def result(self, party: Party, request: ResultRequest) -> ResultReply:
        """Take an outcome; durable when this returns."""
        ...

    async def progress(self, party: Party, request: ProgressRequest) -> Empty:
        """Note that a task is under way."""
        ...

    async def journal_head(self, party: Party, request: JournalHeadRequest) -> JournalHeadReply:
        """Take a site's word on its journal; the latest record of that journal that was heard of."""
        ...


class BlobHandler(Protocol):
    """Serves the requests that move blobs."""

    def blob_to_send(self, party: Party, digest: str) -> Path:
        """Where a blob is that this party may have."""
        ...

    def blob_state(self, party: Party, digest: str) -> BlobState:
        """How much of this party's upload is here."""
        ...

    def blob_to_take(self, party: Party, digest: str, size: int) -> OpenUpload | None:
        """What begins or resumes an upload that this party may make; None where the blob is here already."""
        ...


class RunHandler(Protocol):
    """Serves the requests of operators about runs."""

    async def submit(self, party: Party, request: SubmitRequest) -> RunStatus:
        """Begin a run."""
        ...

    async def runs(self, party: Party) -> Runs:
        """List the runs."""
        ...

    async def run(self, party: Party, run_id: str) -> RunStatus:
        """One run as it stands."""
        ...

    async def events(self, party: Party, run_id: str, after: int, wait_s: float) -> EventsReply:
        """Records of a run's journal after `after`, waiting for one where there is none.

        As many as fit in a message (`MAX_MESSAGE`); whoever wants more asks again.
        """
        ...

    async def stop(self, party: Party, run_id: str, request: StopRequest) -> RunStatus:
        """End a run."""
        ...

    async def resume(self, party: Party, run_id: str) -> RunStatus:
        """Take a stopped or failed run up again."""
        ...

    async def reinstate(self, party: Party, run_id: str, site: str) -> RunStatus:
        """Have a site asked again that was suspended."""
        ...

    async def export(self, party: Party, run_id: str) -> Path:
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

    def admit(self, certificate_der: bytes) -> Party:
        """Say whose certificate this is, if it is on the allow list now.

        Raises:
            CredentialError: It is foreign, replaced, removed or expired.
        """
        ...
