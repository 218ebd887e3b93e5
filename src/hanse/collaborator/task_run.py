"""One task that a run asks of this site, from the question to the signed outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.site_evidence import SiteEvidence
from hanse.collaborator.exchange_limits import check_limits, check_result
from hanse.collaborator.progress import Progress
from hanse.collaborator.releases import release_of
from hanse.collaborator.review import Reviewer
from hanse.collaborator.rosters import Rosters
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.sealed.answers import check_content, sealed_outcome
from hanse.collaborator.sealed.runs import SealedRun, vouched_run
from hanse.collaborator.task_inputs import FetchedInputs, TaskInputs, check_inputs
from hanse.collaborator.task_worker.pool import Workers
from hanse.collaborator.task_worker.protocol import Order, TaskReport
from hanse.collaborator.task_worker.starts import note_start
from hanse.concurrency import in_thread
from hanse.core.journal.exchange_counts import AskedExchange
from hanse.core.journal.site_history import disclosed
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.ask_inputs import stated
from hanse.core.values.safe_text import MOST_REASON_CHARS
from hanse.core.values.significant import rounded_metrics
from hanse.errors import (
    ERRORS,
    DisclosureError,
    HanseError,
    PolicyError,
    StorageError,
    TaskError,
)
from hanse.sealing.run_files import RunLabels
from hanse.updates.drafts import FileDraft
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing, release
from hanse.wire.messages.sites import MAX_LOG_TAIL, Assignment, RunWork, TaskOutcome, UpdateFile

logger = logging.getLogger(__name__)

Headers = Callable[[], Received]
"""Reads the headers of what a task received, on a thread."""

_INITIALISE_TRIES = 2


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A task, and what it takes to carry it out.

    Attributes:
        context: The site.
        reviewer: Knows which plans the site takes part in.
        workers: Perform tasks.
        rosters: Know in which rosters the site's own key is.
        folder: The run's.
        run: The run that asks.
        assignment: What it asks.
        progress: Told what to look at for signs of life.
        evidence: Knows if the plan's demands for evidence are met.
    """

    context: SiteContext
    reviewer: Reviewer
    workers: Workers
    rosters: Rosters
    folder: RunFolder
    run: RunWork
    assignment: Assignment
    progress: Progress
    evidence: SiteEvidence

    def __str__(self) -> str:
        asked = self.assignment
        return f"run {self.run.run_id}: {asked.task} of round {asked.round_number}"

    @property
    def facts(self) -> dict[str, Any]:
        """Which task it is, for structured logs."""
        return {"run_id": self.run.run_id} | self.assignment.model_dump(
            include={"exchange", "round_number", "task"}
        )

    @property
    def masked(self) -> bool:
        """True if what comes of the task leaves masked only: by the plan, whatever the assignment says."""
        plan = _plan_of(self)
        if plan is None:  # then no task of it is performed
            return self.assignment.secure_sum is not None
        return masks(plan, self.assignment.task)

    @property
    def sealed(self) -> bool:
        """True if the run is sealed: by the plan, whatever the assignment says."""
        plan = _plan_of(self)
        return self.assignment.key is not None if plan is None else plan.sealed is not None

    async def carry_out(self) -> TaskOutcome:
        """Perform the task, check what would leave, and record it in the site's journal.

        Raises:
            HanseError: It failed, or may not be performed or disclosed here.
        """
        manifest = await self.checked()
        inputs = await self.fetched(manifest)
        report = await self.perform(manifest, inputs)
        if self.sealed:  # an aggregator that was started again meanwhile has another key for the update
            await self.evidence.stands(manifest.plan, self.run.run_id)
        # To its end, also when the run is over meanwhile: what it wrote after that would stay for ever.
        return await in_thread(partial(self._release, manifest, report, inputs.headers))

    async def checked(self) -> Manifest:
        """The plan, if it lets this site be asked this now.

        Raises:
            HanseError: The task may not be performed here.
        """
        await self.rosters.check(self.run.run_id, self.assignment)
        manifest = await self.reviewer.agreed(self.run)
        self.evidence.check(manifest.plan, self.run.run_id)
        _check_asked(manifest.plan, self.assignment, str(self), self.context.identity.site)
        # By the journal as it was read.
        check_limits(self.context.journal.history, manifest.plan, _asked(self.run, self.assignment))
        return manifest

    async def fetched(self, manifest: Manifest) -> FetchedInputs:
        """Fetch what the task starts from.

        Raises:
            HanseError: It is not what the plan declares, or there is no room for it.
        """
        sealed = None
        if manifest.plan.sealed is not None:
            await self.reviewer.bring_code(manifest)  # the owner's keys are in it
            sealed = await in_thread(self._sealed_run(manifest))
        inputs = TaskInputs(
            *(self.context, self.folder, self.assignment, self.progress, str(self), self.facts), sealed=sealed
        )
        model = await inputs.model()
        return FetchedInputs(model, await inputs.groups(manifest.plan, model))

    async def perform(self, manifest: Manifest, inputs: FetchedInputs) -> TaskReport:
        """Have a worker perform the task; its result is not checked yet.

        Raises:
            HanseError: It failed.
        """
        logger.info("%s begins", self, extra=self.facts)
        if manifest.plan.privacy.secure_aggregation is not None:
            sums = self.context.journal.history.sums
            note = partial(note_start, self.folder.start, self.run, self.assignment, sums)
            await self.context.retry_while_disk_full(partial(in_thread, note))
        self.progress.note_inputs()
        return await self._perform(manifest, inputs)

    def failed(self, error: HanseError) -> TaskOutcome:
        """What is said when the task failed: as much as the site permits; the kind if masked or sealed."""
        if self.masked or self.sealed:
            return self.failed_by(error.code)
        tail = error.log_tail if isinstance(error, TaskError) and not _beside_masked(self) else ""
        # Whatever the worker had a hand in may carry its words: names of tensors, of metrics.
        ours = isinstance(error, PolicyError) and not isinstance(error, DisclosureError)
        return self._failed(str(error), tail, str(error) if ours else self._kind(error.code))

    def failed_by(self, kind: str) -> TaskOutcome:
        """Word of a masked or sealed task that failed: its kind, whatever the site permits."""
        reason = self.context.outgoing_text.line(self._kind(kind), MOST_REASON_CHARS)
        return self.said(outcome="failed", reason=reason, log_tail="")

    def _kind(self, code: str) -> str:
        """All that is said of a failure where the site permits no more than its kind."""
        return f"task {self.assignment.task} failed ({code}); the site's own log says more"

    def _failed(self, reason: str, tail: str, kind: str) -> TaskOutcome:
        permitted, text = self.context.settings.policy.discloses.failures, self.context.outgoing_text
        reason = kind if permitted == "kind" else reason
        return self.said(
            outcome="failed",
            reason=text.line(reason, MOST_REASON_CHARS),
            log_tail=text.tail(tail, MAX_LOG_TAIL) if permitted == "log" else "",
        )

    def stated_again(self, outcome: TaskOutcome) -> TaskOutcome | None:
        """An outcome that an earlier agent signed, as far as the site permits now; None for nothing.

        Its record in the site's journal is looked up again: the journal may be another one since.
        """
        if outcome.outcome == "failed":
            kinds = [self._kind(code) for code in ERRORS]
            kind = outcome.reason if outcome.reason in kinds else self._kind(TaskError.code)
            return self._failed(outcome.reason, outcome.log_tail, kind)
        try:
            plan = self.context.plans.manifest(self.run.plan_digest).plan
        except HanseError:
            return None
        # An agent of 0.1 did not round.
        metrics = rounded_metrics(outcome.metrics, plan.metric_digits)
        return outcome.model_copy(update={"journal": None, "metrics": metrics})

    def answered_by(self, outcome: TaskOutcome) -> bool:
        """Whether an outcome is about this very task, and its update is still here."""
        about = self.said(outcome=outcome.outcome).model_dump(exclude=_TOLD)
        unconfirmed = outcome.outcome == "failed" and outcome.roster is None
        if outcome.roster != self.assignment.roster and not unconfirmed:
            return False
        return outcome.model_dump(exclude=_TOLD) == about and self.folder.holds(
            self.assignment.exchange, outcome.update
        )

    def said(self, **told: Any) -> TaskOutcome:
        """An outcome of this task."""
        asked, party = self.assignment, self.context.identity.credentials.party
        return TaskOutcome(
            federation=party.federation,
            site=party.name,
            run_id=self.run.run_id,
            plan_digest=self.run.plan_digest,
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            model=asked.model,
            **stated(asked.inputs),
            counted=asked.accepted,
            roster=asked.roster if self.rosters.found(asked.roster) else None,
            instance=self.evidence.instance_in(_plan_of(self)),
            **told,
        )

    def _sealed_run(self, manifest: Manifest) -> Callable[[], SealedRun]:
        here, run_id, plan = self.context, self.run.run_id, manifest.plan
        if not self.folder.sealed:
            raise PolicyError(f"{self}: the run is sealed, and its files are not in a memory folder here")
        rehearsal = plan.attestation is not None and plan.attestation.rehearsal
        labels = RunLabels(here.identity.federation, run_id, manifest.digest, rehearsal)
        shown, bundle = self.evidence.aggregator(plan, run_id), here.plans.bundle(manifest.digest)
        return partial(vouched_run, labels, manifest, bundle, self.evidence.instance, shown)

    async def _perform(self, manifest: Manifest, inputs: FetchedInputs) -> TaskReport:
        asked, order = self.assignment, _order(self.assignment, self.folder, inputs)
        tries = 1 + manifest.plan.tasks[asked.task].retries if asked.task != INITIALISE else _INITIALISE_TRIES
        failed = 0
        while True:
            self.folder.drop_update(asked.exchange)
            try:
                return await self.workers.carry_out(
                    self.run.run_id, manifest, self.folder, order, self.progress
                )
            except TaskError as error:
                failed += 1
                if failed >= tries:
                    raise
                printed = {"printed": error.log_tail}
                logger.warning(
                    "%s failed, try %d of %d: %s", self, failed, tries, error, extra=self.facts | printed
                )

    def _release(self, manifest: Manifest, report: TaskReport, headers: Headers) -> TaskOutcome:
        """Take over what the worker wrote, out of its reach, check it there, and record that it leaves."""
        plan = manifest.plan
        if masks(plan, self.assignment.task):
            raise DisclosureError(f"{self}: by the plan, its result leaves masked only")
        update = _taken_over(self, plan, report, headers)
        outcome = self.said(
            outcome="done", num_examples=report.num_examples, metrics=report.metrics, update=update
        )
        content = disclosed(outcome.num_examples, outcome.metrics, None if update is None else update.digest)
        asked, history = _asked(self.run, self.assignment), self.context.journal.history
        try:
            if plan.sealed is None:
                check_result(history, asked, content)
            else:
                check_content(history, self.folder, asked, content)
                outcome = sealed_outcome(self._sealed_run(manifest)(), self.folder, outcome, plan.digests)
        except HanseError:
            self.folder.drop_update(outcome.exchange)
            raise
        with suppress(StorageError):  # recorded before the outcome leaves, as soon as the disk takes it
            return self.recorded(outcome)
        return outcome

    def recorded(
        self, outcome: TaskOutcome, *, update: Path | None = None, of_data: bool = False
    ) -> TaskOutcome:
        """The outcome with its record in the site's journal; waits for the disk.

        Args:
            outcome: What is about to leave.
            update: File of its update; None for the one in the folder of outcomes.
            of_data: Whether a failure of a masked task may have its reason in the data.

        Raises:
            StorageError: The journal cannot be written; the outcome must not leave.
        """
        file = self.folder.outgoing(outcome.exchange) if update is None else update
        head = self.context.journal.record(release_of(outcome, self.run, file, of_data=of_data))
        return outcome.model_copy(update={"journal": head})


def _taken_over(task_run: TaskRun, plan: Plan, report: TaskReport, headers: Headers) -> UpdateFile | None:
    """The update that a worker wrote, out of its reach, checked, and as it travels."""
    asked, folder, site = task_run.assignment, task_run.folder, task_run.context.identity.site
    try:
        file = folder.take_over(asked.exchange, asked.max_update_bytes, plan.digests)
        origin = Origin(plan, asked.task, site, asked.exchange, headers())
        update = None
        if file is not None:
            update = FileDraft(folder.outgoing(asked.exchange), file, str(origin), asked.max_update_bytes)
        outgoing = Outgoing(report.num_examples, report.metrics, update)
        # By us alone, on a copy that the worker cannot change.
        release(outgoing, origin, folder.residuals)
    except HanseError:
        folder.drop_update(asked.exchange)
        raise
    return None if update is None else update.file


def _asked(run: RunWork, asked: Assignment) -> AskedExchange:
    return AskedExchange(
        run_id=run.run_id,
        plan_digest=run.plan_digest,
        exchange=asked.exchange,
        round_number=asked.round_number,
        task=asked.task,
        model=None if asked.model is None else asked.model.digest,
        inputs=asked.inputs,
    )


def _check_asked(plan: Plan, asked: Assignment, what: str, site: str) -> None:
    """Refuse what the plan does not say that this site would be asked."""
    if asked.task == INITIALISE:
        if plan.first_model != "site" or asked.round_number != 0:
            raise DisclosureError(f"{what}: by the plan, no first model may be asked for here")
        return
    disclosure_of(plan, asked.task)
    if asked.secure_sum is not None and not masks(plan, asked.task):
        raise PolicyError(f"{what}: by the plan, its result is not summed masked")
    if not 1 <= asked.round_number <= plan.rounds:
        raise PolicyError(f"{what}: the plan has {plan.rounds} rounds")
    check_inputs(plan, asked, what, site)


def _order(asked: Assignment, folder: RunFolder, inputs: FetchedInputs) -> Order:
    return Order(
        exchange=asked.exchange,
        round_number=asked.round_number,
        task=asked.task,
        counted=asked.accepted,
        model=None if inputs.model is None else str(inputs.model.absolute()),
        update=str(folder.written.absolute()),
        groups=tuple(str(place.absolute()) for place in inputs.groups),
        settings=dict(asked.settings),
    )


def _plan_of(task_run: TaskRun) -> Plan | None:
    """The plan of a task's run; None where it is not here, or cannot be read."""
    try:
        return task_run.context.plans.manifest(task_run.run.plan_digest).plan
    except HanseError:
        return None


def _beside_masked(task_run: TaskRun) -> bool:
    """True in a plan with masked tasks: its one worker has printed what these print, too."""
    plan = _plan_of(task_run)
    return plan is None or plan.privacy.secure_aggregation is not None


_TOLD = {
    *("outcome", "num_examples", "metrics", "update", "reason", "log_tail"),
    *("journal", "roster", "counted"),
}
"""What an outcome says beside which task it is about."""
