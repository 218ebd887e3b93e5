"""Every run of the federation: taken up at the start, driven to its end, found by its id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from hanse.aggregator.blobs.lost import LostBlobs
from hanse.aggregator.blobs.model_deltas import ModelDeltas
from hanse.aggregator.blobs.retention import Retention, references
from hanse.aggregator.evidence.desk import AttestationDesk
from hanse.aggregator.members.journal_heads import JournalHeads
from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.options import Options
from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run.new_run import new_run_id, sites_to_ask
from hanse.aggregator.run.recorded_outcomes import RecordedOutcomes
from hanse.aggregator.run.status import status_of
from hanse.aggregator.run.wait_log import log_waits
from hanse.aggregator.run_worker.supervisor import Supervisor, WorkerDependencies
from hanse.aggregator.run_worker.workspace import delete_lives
from hanse.aggregator.sealed.runs import SealedRuns
from hanse.aggregator.sums.layouts import SumLayouts
from hanse.concurrency import Signals
from hanse.core.journal.chain import Record
from hanse.core.journal.membership import STREAM
from hanse.core.plan.manifest import Manifest
from hanse.core.run.decide import Command
from hanse.core.run.lifecycle import Fail, Invite, Leave, NameRestore, Recover, Resume, Submit
from hanse.core.run.run import TERMINAL, Run
from hanse.core.values.identity import Role
from hanse.errors import HanseError, InternalError, RunError, TamperedError
from hanse.storage.base import BlobStore, Journal
from hanse.storage.journaled_run import JournaledRun
from hanse.wire.messages.runs import RunStatus, SubmitRequest

logger = logging.getLogger(__name__)

REMOVED = "removed from the federation"

_SUFFIX_DIGITS = 8


class RunRegistry:
    """Holds every run, and drives those that are under way; belongs to one event loop.

    Attributes:
        signals: Notified of what happens in the runs.
        retention: Keeps the blobs that the runs need.
        lost_blobs: Ends runs whose blobs are missing.
        model_deltas: Models in fewer bytes.
        layouts: Layouts of masked sums.
        sealed: Knows where the files of sealed runs are.
        journal_heads: How far each site's own journal had come, as the runs heard of it.
        recorded_outcomes: Where the latest outcomes of each site stand.
    """

    def __init__(
        self,
        options: Options,
        registry: MemberRegistry,
        journal: Journal,
        blobs: BlobStore,
        clock_ms: Callable[[], int],
        evidence: AttestationDesk,
    ) -> None:
        """Hold no run yet.

        Args:
            options: What the aggregator's settings come to.
            registry: Who may be asked to take part.
            journal: Where the runs are written down.
            blobs: What they refer to.
            clock_ms: The time, milliseconds since 1970.
            evidence: Exchanges evidence with the sites of runs.
        """
        self.signals = Signals()
        self.retention = Retention(blobs, self.states, clock_ms, options.kept_models)
        self.lost_blobs = LostBlobs(blobs, self.alive)
        self._options, self._registry, self._journal = options, registry, journal
        self.model_deltas = ModelDeltas(options.directory / "downloads", blobs)
        self.layouts = SumLayouts(registry.federation, blobs)
        self.sealed = SealedRuns(registry.federation, blobs, options.sealing, references)
        self._dependencies = WorkerDependencies(
            directory=options.runs,
            blobs=blobs,
            retention=self.retention,
            model_deltas=self.model_deltas,
            layouts=self.layouts,
            sealed=self.sealed,
            limits=options.worker,
            max_bytes=options.max_blob,
            worker_process=options.worker_process,
        )
        self._clock_ms, self._evidence = clock_ms, evidence
        self.journal_heads = JournalHeads(journal)
        self.recorded_outcomes = RecordedOutcomes(journal)
        self._runs: dict[str, RunController] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beginning, self._paused = asyncio.Lock(), False
        self._expiring: asyncio.Task[None] | None = None

    async def start(self, *, go_on: bool = True) -> None:
        """Take up every run of the journal where it stood.

        Args:
            go_on: Let the runs continue; False to leave them as they stand until `go_on` is called.

        Raises:
            TamperedError: The membership lacks a record that the first record of a run names.
        """
        await asyncio.to_thread(self.journal_heads.note_enrolments)
        for run_id in self._journal.streams():
            if run_id != STREAM:
                self._runs[run_id] = await asyncio.to_thread(self._load, run_id)
                await asyncio.to_thread(delete_lives, self._options.runs / run_id)
        await asyncio.to_thread(_check_membership, self._registry, self.states())
        await asyncio.to_thread(self.retention.take_stock)
        await self.retention.collect(())
        self._expiring = asyncio.create_task(self.retention.expire())
        self._paused = not go_on
        if go_on:
            await self.go_on()

    async def go_on(self) -> None:
        """Let the runs continue that are not over, after a restart or a pause."""
        self._paused = False
        for controller in self.alive():
            try:
                await self._take_up(controller)
            except HanseError:
                raise
            except Exception:  # the other runs resume
                logger.exception("run %s cannot be resumed", controller.run.run_id)

    async def pause(self) -> None:
        """End the workers of all runs and stop their clocks; `go_on` lets the runs continue."""
        self._paused = True
        for task in (tasks := tuple(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """End the workers of all runs; the runs go on at the next start."""
        await self.pause()
        if self._expiring is not None:
            self._expiring.cancel()
        await asyncio.gather(*(controller.settled() for controller in self._runs.values()))
        await self.retention.settled()

    def find(self, run_id: str) -> RunController:
        """The run of this id.

        Raises:
            RunError: There is none.
        """
        controller = self._runs.get(run_id)
        if controller is None:
            raise RunError(f"there is no run {run_id!r}", mend="`hanse run list` shows those there are.")
        return controller

    def all(self) -> list[RunController]:
        """All runs, in the order in which they were submitted."""
        return list(self._runs.values())

    def alive(self) -> list[RunController]:
        """The runs that are not over."""
        return [controller for controller in self.all() if controller.run.phase not in TERMINAL]

    def states(self) -> list[Run]:
        """All runs as they stand."""
        return [controller.run for controller in self.all()]

    def status(self, controller: RunController) -> RunStatus:
        """A run as an operator sees it."""
        found = status_of(controller.run, controller.events, self._registry.seen_ms, self._clock_ms())
        awaited = self._evidence.annotated(controller.run, found.awaited)
        expired = self.retention.expired(controller.run)
        return found.model_copy(update={"held": self._paused, "expired": expired, "awaited": awaited})

    async def begin(self, manifest: Manifest, request: SubmitRequest, by: str) -> RunController:
        """Begin a run of a plan; every site is asked to take part, or those that the request names.

        Raises:
            RunError: As many runs are under way as may be, there is a run of that name, or the request
                names sites that are not enrolled, or fewer than the plan needs.
        """
        async with self._beginning:
            if len(self.alive()) >= self._options.max_runs:
                raise RunError(
                    f"{self._options.max_runs} runs are under way, the most at one time",
                    mend="Wait for one to end, or stop one.",
                )
            run_id = new_run_id(self._runs, manifest.plan.name, request.name, _suffix(self._registry))
            await asyncio.to_thread(self._evidence.plans.check, manifest)
            invited = sites_to_ask(self._registry.membership, manifest, request.sites)
            chosen = request.sites is not None
            controller = await asyncio.to_thread(self._load, run_id)
            about = run_id, manifest, request.plan_digest, by, invited, self._registry.head, chosen
            await controller.execute(Submit(*about))
            await self.name_restore(controller)
            await self._evidence.take_up(controller)
            self._runs[run_id] = controller
        # Whoever was woken by the submission itself did not find the run yet.
        self.signals.notify(controller.run.invited)
        self._drive(controller)
        await self._reconcile(controller)
        return controller

    async def resume(self, run_id: str, by: str) -> RunController:
        """Take a stopped or failed run up again.

        Raises:
            RunError: It is neither, or ended so long ago that its models were deleted.
        """
        controller = self.find(run_id)
        if self.retention.expired(controller.run):
            raise RunError(
                f"the models of run {run_id} were deleted, as long after its end as aggregator.yaml says",
                mend="Submit its plan again.",
            )
        ending = self._tasks.get(run_id)
        if ending is not None and controller.run.phase in TERMINAL:
            await asyncio.wait({ending})
        await self.name_restore(controller)
        await controller.execute(Resume(by, _signing_keys(self._registry)))
        await self._evidence.take_up(controller)
        await self._reconcile(controller)
        self._drive(controller)
        return controller

    async def tell_alive(self, command: Command) -> None:
        """Execute a command on every run under way; an error of one run keeps it from no other run."""
        for controller in self.alive():
            try:
                await controller.execute(command)
            except HanseError as error:  # the next start makes up for it
                logger.error("run %s does not know yet of %s: %s", controller.run.run_id, command, error)
            except Exception:
                logger.exception("run %s does not know yet of %s", controller.run.run_id, command)

    async def _take_up(self, controller: RunController) -> None:
        logger.info("run %s: resumed after a restart", controller.run.run_id)
        await self.name_restore(controller)
        await self._evidence.take_up(controller)
        await controller.execute(Recover())
        await self._reconcile(controller)
        self._drive(controller)

    async def name_restore(self, controller: RunController) -> None:
        """Have a run's journal name the last restore that an operator acknowledged, if it does not yet."""
        if self._registry.restored is not None:
            record, restored = self._registry.restored
            await controller.execute(NameRestore(record, restored.statement))

    def _load(self, run_id: str) -> RunController:
        run = JournaledRun(self._journal, run_id, self._note)
        return RunController(run, self.signals, self._clock_ms, self._registry.seen_ms)

    def _note(self, record: Record) -> None:
        self.journal_heads.note(record)
        self.recorded_outcomes.note(record)

    def _drive(self, controller: RunController) -> None:
        name = f"run {controller.run.run_id}"
        self._tasks[controller.run.run_id] = asyncio.create_task(self._supervise(controller), name=name)

    async def _supervise(self, controller: RunController) -> None:
        run_id = controller.run.run_id
        telling = asyncio.create_task(log_waits(controller, partial(self.status, controller)))
        try:
            await Supervisor(controller, self._dependencies).supervise()
        except Exception as error:  # the outermost edge of a run: it must not end in silence
            logger.exception("run %s: the aggregator cannot continue the run", run_id)
            # The error may say anything, paths and data among it, and the journal is exported.
            reason = f"the aggregator met an unforeseen {type(error).__name__}; its log has the trace"
            await controller.execute(Fail(InternalError.code, reason))
        finally:
            telling.cancel()
            del self._tasks[run_id]

    async def _reconcile(self, controller: RunController) -> None:
        """Tell a run who joined and who was removed while nobody could tell it."""
        run, members = controller.run, self._registry.membership.names(Role.COLLABORATOR)
        keys = _signing_keys(self._registry)
        for name in members:
            # Who was enrolled again meanwhile has agreed to nothing with its new key. Of a site that the
            # run's operator has not chosen, nothing comes.
            key = keys.get(name)
            if name not in run.invited or name in run.left or run.roster.get(name, key) != key:
                await controller.execute(Invite(name, key))
        for name in sorted({*run.invited} - {*members}):
            await controller.execute(Leave(name, REMOVED))


def _signing_keys(registry: MemberRegistry) -> dict[str, str]:
    """Fingerprint of the signing key of each site that has stated one."""
    members = registry.membership.parties.values()
    return {member.name: member.signing_key for member in members if member.signing_key}


def _suffix(registry: MemberRegistry) -> str:
    """Ends the ids of runs after a restore, which give the numbers of lost runs again.

    Made of the record of the restore, which no other restore has.
    """
    return "" if registry.restored is None else f"-r{registry.restored[0].digest[:_SUFFIX_DIGITS]}"


def _check_membership(registry: MemberRegistry, runs: Iterable[Run]) -> None:
    for run in runs:
        if run.members is not None and not registry.holds(run.members):
            raise TamperedError(
                f"the list of members lacks record {run.members.sequence} "
                f"({run.members.digest[:12]}), which was its last when run {run.run_id} was submitted: "
                "records of the journal were deleted or replaced",
                mend="Put back a copy of the whole journal.sqlite, and find out who changed it.",
            )
