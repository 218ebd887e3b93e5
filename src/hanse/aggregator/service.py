"""The aggregator's service: every request of a party, carried out on members, blobs and runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hanse import __version__
from hanse.aggregator.access import check_may_read, upload_limit
from hanse.aggregator.controller import RunController
from hanse.aggregator.registry import Registry
from hanse.aggregator.results import Verifier
from hanse.aggregator.sealing import export_journal
from hanse.aggregator.signals import Signals, wait_for
from hanse.aggregator.supervisor import Limits, Supervisor
from hanse.aggregator.work import status_of, work_of
from hanse.core.commands import Invite, Leave, Recover, RefuseResult, Resume, StartTask, Stop, Submit
from hanse.core.identity import Party, Role
from hanse.core.membership import STREAM
from hanse.core.plan import Manifest
from hanse.core.run import TERMINAL, Run
from hanse.errors import HanseError, LateResultError, PlanError, RunError, StorageError
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.storage.base import BlobStore, BlobWriter, Journal
from hanse.storage.ledger import Ledger
from hanse.wire.messages import (
    MAX_WAIT_S,
    AnswerRequest,
    BlobState,
    Certificates,
    Empty,
    EnrolRequest,
    EventsReply,
    Hello,
    InviteReply,
    InviteRequest,
    JournalRecord,
    Member,
    Members,
    NextRequest,
    ProgressRequest,
    RenewRequest,
    ResultReply,
    ResultRequest,
    Runs,
    RunStatus,
    SignRequest,
    StopRequest,
    SubmitRequest,
    TaskOutcome,
    Work,
)

logger = logging.getLogger(__name__)

EVENTS_A_REPLY = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What an aggregator's settings come to.

    Attributes:
        directory: The aggregator's own folder.
        url: Where sites reach it; goes into invitations.
        max_blob: Largest blob that is taken, bytes.
        disk_reserve: Bytes of the disk that uploads leave free.
        max_runs: Runs that may be under way at one time.
        worker: Makes the confinement of a run's worker.
    """

    directory: Path
    url: str
    max_blob: int
    disk_reserve: int
    worker: Limits
    max_runs: int = 32


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
        self._options = options
        self._credentials = credentials
        self._registry = registry
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._token_id = token_id
        self._verifier = Verifier(credentials.party.federation, credentials.authority, blobs)
        self._signals = Signals()
        self._runs: dict[str, RunController] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen_ms: dict[str, int] = {}
        self._submitting = asyncio.Lock()

    # ---------------------------------------------------------------- life

    async def start(self) -> None:
        """Take up every run of the journal where it stood."""
        for run_id in self._journal.streams():
            if run_id == STREAM:
                continue
            controller = self._control(run_id)
            if controller.run.phase not in TERMINAL:
                logger.info("run %s: taken up again", run_id)
                await controller.execute(Recover())
                self._drive(controller)

    async def close(self) -> None:
        """End the workers of all runs; the runs go on at the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _control(self, run_id: str) -> RunController:
        controller = RunController(Ledger(self._journal, run_id), self._signals, self._now_ms)
        self._runs[run_id] = controller
        return controller

    def _drive(self, controller: RunController) -> None:
        run_id = controller.run.run_id
        directory = self._options.directory / "runs" / run_id
        supervisor = Supervisor(controller, self._blobs, directory, self._options.worker)
        task = asyncio.create_task(self._supervised(supervisor), name=f"run {run_id}")
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def _supervised(self, supervisor: Supervisor) -> None:
        run_id = supervisor.controller.run.run_id
        try:
            await supervisor.supervise()
        except Exception:  # the outermost edge of a run: it must not end in silence
            logger.exception("run %s: the aggregator stopped driving it", run_id)
            raise

    # ------------------------------------------------------------ identity

    def hello(self) -> Hello:
        """Say who is here."""
        return Hello(
            version=__version__, federation=self._credentials.party.federation, time_ms=self._now_ms()
        )

    def authority_pem(self) -> str:
        """The federation's CA certificate."""
        return pem_of(self._credentials.authority)

    def admit(self, certificate_der: bytes) -> Party:
        """Say whose certificate this is, if it is on the allow list now."""
        party = self._registry.admit(certificate_der)
        self._seen_ms[party.name] = self._now_ms()
        return party

    async def enrol(self, request: EnrolRequest) -> Certificates:
        """Trade a token for a certificate."""
        party, certificates = await asyncio.to_thread(self._registry.enrol, request.token, request.csr)
        await self._welcome(party)
        return certificates

    async def sign(self, party: Party, request: SignRequest) -> Certificates:
        """Enrol a party from a request carried by hand."""
        new, certificates = await asyncio.to_thread(
            self._registry.sign, request.name, request.role, request.csr
        )
        await self._welcome(new)
        return certificates

    async def renew(self, party: Party, request: RenewRequest) -> Certificates:
        """Give a party its next certificate."""
        return await asyncio.to_thread(self._registry.renew, party, request.csr)

    async def invite(self, party: Party, request: InviteRequest) -> InviteReply:
        """Make a one-time token."""
        token = self._registry.invite(
            request.name,
            request.role,
            url=self._options.url,
            token_id=self._token_id(),
            lifetime=timedelta(seconds=request.lifetime_s),
        )
        return InviteReply(token=token)

    async def remove(self, party: Party, name: str) -> Members:
        """Take a party off the allow list; its open requests end at once."""
        await asyncio.to_thread(self._registry.remove, name, party.name)
        for controller in self._alive():
            await controller.execute(Leave(name, "removed from the federation"))
        self._signals.notify([name])
        return await self.members(party)

    async def members(self, party: Party) -> Members:
        """List the parties."""
        return Members(
            members=tuple(
                Member(
                    name=member.name,
                    role=member.role,
                    removed=member.removed,
                    seen_ms=self._seen_ms.get(member.name),
                    not_after_ms=member.not_after_ms,
                )
                for _, member in sorted(self._registry.membership.parties.items())
            )
        )

    async def _welcome(self, party: Party) -> None:
        if party.role is Role.COLLABORATOR:
            for controller in self._alive():
                await controller.execute(Invite(party.name))

    # ------------------------------------------------------- collaborators

    async def next(self, party: Party, request: NextRequest) -> Work:
        """Wait for the site's work to change."""
        async with self._signals.watching(party.name) as changed:
            work = self._work(party)
            if work.version != request.known:
                return work
            await wait_for(changed, min(request.wait_s, MAX_WAIT_S))
        return self._work(party)

    async def answer(self, party: Party, request: AnswerRequest) -> Empty:
        """Take a site's answer to a plan."""
        controller = self._find(request.run_id)
        command = self._verifier.plan_answer(party, controller.run, request.statement, self._clock())
        await controller.execute(command)
        return Empty()

    async def result(self, party: Party, request: ResultRequest) -> ResultReply:
        """Take an outcome; durable when this returns."""
        outcome = self._verifier.outcome(party, request.statement, self._clock())
        controller = self._find(outcome.run_id)
        try:
            command = await asyncio.to_thread(
                self._verifier.result, controller.run, outcome, request.statement
            )
            events = await controller.execute(command)
        except StorageError:
            raise  # our fault, not the site's: it tries again
        except HanseError as error:
            await self._refuse(controller, outcome, error)
            raise
        return ResultReply(duplicate=not events)

    async def progress(self, party: Party, request: ProgressRequest) -> Empty:
        """Note that a task is under way."""
        controller = self._find(request.run_id)
        if controller.note_progress(request.exchange, party.name):
            await controller.execute(StartTask(request.exchange, party.name))
        return Empty()

    def _work(self, party: Party) -> Work:
        return work_of(party.name, self._states(), self._blobs.size, self._options.max_blob)

    async def _refuse(self, controller: RunController, outcome: TaskOutcome, error: HanseError) -> None:
        log = logger.info if isinstance(error, LateResultError) else logger.warning
        log("run %s: a result of %s was refused: %s", outcome.run_id, outcome.site, error)
        await controller.execute(
            RefuseResult(outcome.exchange, outcome.site, error.code, error.message[:1000])
        )

    # --------------------------------------------------------------- blobs

    def blob_to_send(self, party: Party, digest: str) -> Path:
        """Where a blob is that this party may have."""
        check_may_read(party, digest, self._states())
        return self._blobs.path(digest)

    def blob_state(self, party: Party, digest: str) -> BlobState:
        """How much of this party's upload is here."""
        if self._blobs.has(digest):
            return BlobState(complete=True, offset=self._blobs.size(digest))
        return BlobState(complete=False, offset=self._blobs.partial_size(digest, party.name))

    def blob_to_take(self, party: Party, digest: str, size: int) -> BlobWriter | None:
        """Begin or resume an upload that this party may make."""
        if self._blobs.has(digest):
            return None
        limit = upload_limit(party, self._states(), self._blobs.size, self._options.max_blob)
        if size > limit:
            raise StorageError(
                f"{party.name} wants to upload {size} bytes; the limit is {limit}",
                mend="An update cannot be larger than the model it changes.",
            )
        free = shutil.disk_usage(self._options.directory).free
        if free - size < self._options.disk_reserve:
            raise StorageError(
                f"the aggregator's disk has {free} bytes free; an upload of {size} bytes would leave less "
                f"than the reserve of {self._options.disk_reserve}",
                mend="The operator must free space; the upload goes on from where it is.",
            )
        return self._blobs.write(digest, party.name, size)

    # ------------------------------------------------------------- control

    async def submit(self, party: Party, request: SubmitRequest) -> RunStatus:
        """Begin a run."""
        manifest = await asyncio.to_thread(self._manifest, request.plan_digest)
        async with self._submitting:
            if len(self._alive()) >= self._options.max_runs:
                raise RunError(
                    f"{self._options.max_runs} runs are under way, the most at one time",
                    mend="Wait for one to end, or stop one.",
                )
            run_id = self._next_id(manifest.plan.name)
            controller = self._control(run_id)
            invited = self._registry.membership.names(Role.COLLABORATOR)
            await controller.execute(Submit(run_id, manifest, request.plan_digest, party.name, invited))
        self._drive(controller)
        return self._status(controller)

    async def runs(self, party: Party) -> Runs:
        """List the runs, newest first."""
        found = sorted(self._runs.values(), key=lambda c: c.run.submitted_ms, reverse=True)
        return Runs(runs=tuple(self._status(controller) for controller in found))

    async def run(self, party: Party, run_id: str) -> RunStatus:
        """One run as it stands."""
        return self._status(self._find(run_id))

    async def events(self, party: Party, run_id: str, after: int, wait_s: float) -> EventsReply:
        """Records of a run's journal after `after`, waiting for one where there is none."""
        controller = self._find(run_id)
        async with self._signals.watching(run_id) as changed:
            if controller.events <= after and controller.run.phase not in TERMINAL:
                await wait_for(changed, min(wait_s, MAX_WAIT_S))
        status = self._status(controller)
        records = await asyncio.to_thread(self._journal.read, run_id, after=after, limit=EVENTS_A_REPLY)
        return EventsReply(
            records=tuple(JournalRecord.model_validate(record.as_json()) for record in records),
            status=status,
        )

    async def stop(self, party: Party, run_id: str, request: StopRequest) -> RunStatus:
        """End a run."""
        controller = self._find(run_id)
        await controller.execute(Stop(party.name, request.reason))
        return self._status(controller)

    async def resume(self, party: Party, run_id: str) -> RunStatus:
        """Take a stopped or failed run up again."""
        controller = self._find(run_id)
        ending = self._tasks.get(run_id)
        if ending is not None and controller.run.phase in TERMINAL:
            await asyncio.wait({ending})
        await controller.execute(Resume(party.name))
        self._drive(controller)
        return self._status(controller)

    async def export(self, party: Party, run_id: str) -> Path:
        """Write the run's journal with its seal to a file."""
        self._find(run_id)
        path = self._options.directory / "runs" / run_id / "journal.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        return await asyncio.to_thread(
            export_journal, self._journal, run_id, self._credentials, path, self._now_ms()
        )

    def _manifest(self, digest: str) -> Manifest:
        if not self._blobs.has(digest):
            raise PlanError(
                f"plan {digest[:12]} was not uploaded", mend="Upload its manifest and files first."
            )
        manifest = Manifest.from_bytes(self._blobs.path(digest).read_bytes(), digest)
        initial = () if manifest.initial_model is None else (manifest.initial_model,)
        for file in (*manifest.files, *initial):
            if not self._blobs.has(file.sha256):
                raise PlanError(
                    f"{file.path} of plan {digest[:12]} was not uploaded", mend="Upload it first."
                )
        return manifest

    def _next_id(self, plan_name: str) -> str:
        number = 1
        while f"{plan_name}-{number}" in self._runs:
            number += 1
        return f"{plan_name}-{number}"

    # -------------------------------------------------------------- common

    def _find(self, run_id: str) -> RunController:
        controller = self._runs.get(run_id)
        if controller is None:
            known = ", ".join(sorted(self._runs)[-10:]) or "none"
            raise RunError(f"there is no run {run_id!r}; runs are: {known}", mend="See `hanse run list`.")
        return controller

    def _states(self) -> list[Run]:
        return [controller.run for controller in self._alive()]

    def _alive(self) -> list[RunController]:
        return [c for c in self._runs.values() if c.run.phase not in TERMINAL]

    def _status(self, controller: RunController) -> RunStatus:
        return status_of(controller.run, controller.events, self._seen_ms, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)
