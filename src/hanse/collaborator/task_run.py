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
from hanse.collaborator.exchange_limits import check_limits, check_result
from hanse.collaborator.progress import Progress
from hanse.collaborator.releases import release_of
from hanse.collaborator.review import Reviewer
from hanse.collaborator.rosters import Rosters
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.task_inputs import TaskInputs, check_inputs, received
from hanse.collaborator.task_worker.pool import Workers
from hanse.collaborator.task_worker.protocol import Order, TaskReport
from hanse.concurrency import in_thread
from hanse.core.journal.exchange_counts import AskedExchange
from hanse.core.journal.site_history import disclosed
from hanse.core.plan.disclosure import disclosure_of
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
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
    """

    context: SiteContext
    reviewer: Reviewer
    workers: Workers
    rosters: Rosters
    folder: RunFolder
    run: RunWork
    assignment: Assignment
    progress: Progress

    def __str__(self) -> str:
        asked = self.assignment
        return f"run {self.run.run_id}: {asked.task} of round {asked.round_number}"

    @property
    def facts(self) -> dict[str, Any]:
        """Which task it is, for structured logs."""
        return {"run_id": self.run.run_id} | self.assignment.model_dump(
            include={"exchange", "round_number", "task"}
        )

    async def carry_out(self) -> TaskOutcome:
        """Perform the task, check what would leave, and record it in the site's journal.

        Raises:
            HanseError: It failed, or may not be performed or disclosed here.
        """
        await self.rosters.check(self.run.run_id, self.assignment)
        manifest = await self.reviewer.agreed(self.run)
        self._check_asked(manifest.plan)
        self._check_limits(manifest.plan)
        inputs = TaskInputs(self.context, self.folder, self.assignment, self.progress, str(self), self.facts)
        model = await inputs.model()
        groups = await inputs.groups(manifest.plan, model)
        logger.info("%s begins", self, extra=self.facts)
        report = await self._perform(manifest, model, groups)
        # To its end, also when the run is over meanwhile: what it wrote after that would stay for ever.
        return await in_thread(
            partial(self._release, manifest.plan, report, partial(received, model, groups))
        )

    def failed(self, error: HanseError) -> TaskOutcome:
        """What is said when the task failed: as much as the site permits."""
        tail = error.log_tail if isinstance(error, TaskError) else ""
        # Whatever the worker had a hand in may carry its words: names of tensors, of metrics.
        ours = isinstance(error, PolicyError) and not isinstance(error, DisclosureError)
        return self._failed(str(error), tail, str(error) if ours else self._kind(error.code))

    def _kind(self, code: str) -> str:
        """All that is said of a failure where the site permits no more than its kind."""
        return f"task {self.assignment.task} failed ({code}); the site's own log says more"

    def _failed(self, reason: str, tail: str, kind: str) -> TaskOutcome:
        permitted, text = self.context.settings.policy.discloses.failures, self.context.outgoing_text
        reason = kind if permitted == "kind" else reason
        return self._said(
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
        about = self._said(outcome=outcome.outcome).model_dump(exclude=_TOLD)
        unconfirmed = outcome.outcome == "failed" and outcome.roster is None
        if outcome.roster != self.assignment.roster and not unconfirmed:
            return False
        return outcome.model_dump(exclude=_TOLD) == about and self.folder.holds(
            self.assignment.exchange, outcome.update
        )

    def _said(self, **told: Any) -> TaskOutcome:
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
            **told,
        )

    def _check_asked(self, plan: Plan) -> None:
        """Refuse what the plan does not say that this site would be asked."""
        asked = self.assignment
        if asked.task == INITIALISE:
            if plan.first_model != "site" or asked.round_number != 0:
                raise DisclosureError(f"{self}: by the plan, no first model may be asked for here")
            return
        disclosure_of(plan, asked.task)
        if not 1 <= asked.round_number <= plan.rounds:
            raise PolicyError(f"{self}: the plan has {plan.rounds} rounds")
        check_inputs(plan, asked, str(self), self.context.identity.site)

    def _check_limits(self, plan: Plan) -> None:
        """Refuse what the plan does not let this site be asked any more, by the journal as it was read."""
        check_limits(self.context.journal.history, plan, self._asked)

    @property
    def _asked(self) -> AskedExchange:
        asked = self.assignment
        return AskedExchange(
            run_id=self.run.run_id,
            plan_digest=self.run.plan_digest,
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            model=None if asked.model is None else asked.model.digest,
            inputs=asked.inputs,
        )

    async def _perform(self, manifest: Manifest, model: Path | None, groups: tuple[Path, ...]) -> TaskReport:
        asked = self.assignment
        order = Order(
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            counted=asked.accepted,
            model=None if model is None else str(model.absolute()),
            update=str(self.folder.written.absolute()),
            groups=tuple(str(place.absolute()) for place in groups),
            settings=dict(asked.settings),
        )
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

    def _release(self, plan: Plan, report: TaskReport, headers: Headers) -> TaskOutcome:
        """Take over what the worker wrote, out of its reach, check it there, and record that it leaves."""
        update = self._taken_over(plan, report, headers)
        outcome = self._said(
            outcome="done", num_examples=report.num_examples, metrics=report.metrics, update=update
        )
        content = disclosed(outcome.num_examples, outcome.metrics, None if update is None else update.digest)
        try:
            check_result(self.context.journal.history, self._asked, content)
        except PolicyError:
            self.folder.drop_update(outcome.exchange)
            raise
        with suppress(StorageError):  # recorded before the outcome leaves, as soon as the disk takes it
            return self.recorded(outcome)
        return outcome

    def recorded(self, outcome: TaskOutcome) -> TaskOutcome:
        """The outcome with its record in the site's journal; waits for the disk.

        Raises:
            StorageError: The journal cannot be written; the outcome must not leave.
        """
        update = self.folder.outgoing(outcome.exchange)
        head = self.context.journal.record(release_of(outcome, self.run, update))
        return outcome.model_copy(update={"journal": head})

    def _taken_over(self, plan: Plan, report: TaskReport, headers: Headers) -> UpdateFile | None:
        asked, site = self.assignment, self.context.identity.site
        try:
            file = self.folder.take_over(asked.exchange, asked.max_update_bytes, plan.digests)
            origin = Origin(plan, asked.task, site, asked.exchange, headers())
            update = None
            if file is not None:
                path = self.folder.outgoing(asked.exchange)
                update = FileDraft(path, file, str(origin), asked.max_update_bytes)
            outgoing = Outgoing(report.num_examples, report.metrics, update)
            # By us alone, on a copy that the worker cannot change.
            release(outgoing, origin, self.folder.residuals)
        except HanseError:
            self.folder.drop_update(asked.exchange)
            raise
        return None if update is None else update.file


_TOLD = {
    *("outcome", "num_examples", "metrics", "update", "reason", "log_tail"),
    *("journal", "roster", "counted"),
}
"""What an outcome says beside which task it is about."""
