"""The vector of an exchange: made once, from one performance of the task, before anything is said of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hanse.collaborator.sums.failure import SumFailedError
from hanse.collaborator.sums.files import SumFiles, VectorFacts
from hanse.collaborator.sums.memory import OwnCell
from hanse.collaborator.sums.steps import note_step
from hanse.collaborator.task_inputs import FetchedInputs
from hanse.collaborator.task_run import TaskRun
from hanse.collaborator.task_worker.protocol import TaskReport
from hanse.concurrency import in_thread
from hanse.core.journal.sum_records import SumPrepared
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import colluders_of
from hanse.core.values.ask_inputs import stated
from hanse.errors import (
    HanseError,
    PolicyError,
    ProtocolError,
    StorageError,
    TamperedError,
    TransportError,
    TrustError,
)
from hanse.privacy.secagg.context import SALT_BYTES, SumContext
from hanse.privacy.secagg.layout import Layout
from hanse.privacy.secagg.site_steps import FailureKind
from hanse.updates.drafts import MemoryDraft, opened_update
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Outgoing
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.prepare import prepare
from hanse.updates.secure_sums.vector_file import vector_file_size
from hanse.wire.tensors import tensors_size

logger = logging.getLogger(__name__)

_OF_OTHERS = (ProtocolError, TransportError, TrustError)
_ENDS_AGENT = (*_OF_OTHERS, TamperedError)
"""Errors that end the agent, as everywhere; what a worker reports is never one of them here."""


@dataclass(frozen=True, slots=True)
class _SumQuestion:
    """Question of an exchange: where results come from, their layout, and the context."""

    origin: Origin
    layout: Layout
    context: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """Makes the vector of one exchange, or finds the one that was made.

    Attributes:
        task_run: The task.
        plan: The plan.
        cell: The site's.
        files: Of the exchange.
    """

    task_run: TaskRun
    plan: Plan
    cell: OwnCell
    files: SumFiles

    def kept(self) -> SumPrepared | None:
        """The record of a vector that is kept; None where the task has to be performed; reads the disk.

        Raises:
            SumFailedError: A later exchange was prepared, or the vector that was recorded is lost.
        """
        run, exchange = self.task_run.run, self.task_run.assignment.exchange
        known = self.task_run.context.journal.history.sums.last(run.run_id, run.plan_digest)
        if known is None or known.prepared.exchange < exchange:
            return None
        if known.prepared.exchange > exchange:
            raise SumFailedError.of(
                PolicyError(
                    f"{self.task_run}: exchange {exchange} was asked after exchange "
                    f"{known.prepared.exchange} was prepared, and cannot be summed any more"
                )
            )
        facts = self.files.facts()
        if facts is None or not facts.are_of(known.prepared):
            raise SumFailedError(
                FailureKind.LOST_VECTOR,
                f"{self.task_run}: its vector is in the site's journal and not in {self.files.folder}, so "
                "that it cannot take part in this exchange any more",
            )
        return known.prepared

    async def make(self, manifest: Manifest) -> SumPrepared:
        """Perform the task, and round what came of it to the vector; recorded when this returns.

        Raises:
            SumFailedError: The task failed.
        """
        try:
            inputs = await self.task_run.fetched(manifest)
            question = await in_thread(partial(self._question, inputs.headers))
        except _ENDS_AGENT:
            raise
        except HanseError as error:
            raise SumFailedError.of(error) from error
        report = await self._performed(manifest, inputs)
        write = partial(in_thread, partial(self._written, report, question))
        return await self.task_run.context.retry_while_disk_full(write)

    def _question(self, headers: Callable[[], Received]) -> _SumQuestion:
        asked, received = self.task_run.assignment, headers()
        layout = sum_layout(self.plan, asked.task, received)
        site = self.task_run.context.identity.site
        origin = Origin(self.plan, asked.task, site, asked.exchange, received)
        return _SumQuestion(origin, layout, self._context(layout))

    async def _performed(self, manifest: Manifest, inputs: FetchedInputs) -> TaskReport:
        try:
            return await self.task_run.perform(manifest, inputs)
        except _OF_OTHERS:
            raise
        except PolicyError as error:  # of a sandbox that is not there: no worker can report one
            raise SumFailedError.of(error) from error
        except Exception as error:
            raise SumFailedError.of_data(error) from error

    def _written(self, report: TaskReport, question: _SumQuestion) -> SumPrepared:
        try:
            facts = self._vector(report, question)
        except (StorageError, *_OF_OTHERS):
            raise
        except Exception as error:
            # Errors that were not foreseen too: an error in arithmetic can depend on one number.
            logger.debug("%s: the trace", self.task_run, exc_info=True)
            raise SumFailedError.of_data(error) from error
        prepared = self._record(facts, question.layout)
        self.task_run.context.journal.append(prepared)
        note_step("prepared")
        self.task_run.folder.drop_update(prepared.exchange)
        self.files.drop_others()
        return prepared

    def _vector(self, report: TaskReport, question: _SumQuestion) -> VectorFacts:
        here, exchange, folder = self.task_run.context, question.origin.exchange, self.task_run.folder
        layout, most = question.layout, tensors_size(question.origin.expected)
        here.check_room(most + 2 * vector_file_size(layout.words, layout.ring))
        size = folder.take_over_to_mask(exchange, most)
        update = None
        if size is not None:
            taken = opened_update(folder.outgoing(exchange), size, str(question.origin), most)
            update = MemoryDraft(taken)
        self.files.begin()
        written = prepare(
            Outgoing(report.num_examples, report.metrics, update),
            *(question.origin, layout, question.context, here.randomness, self.files.vector),
        )
        note_step("vector")
        facts = VectorFacts(
            salt=here.randomness(SALT_BYTES).hex(),
            digest=written.digest,
            context=question.context,
            layout=layout.digest,
        )
        self.files.keep_facts(facts)
        return facts

    def _context(self, layout: Layout) -> str:
        run, asked = self.task_run.run, self.task_run.assignment
        if run.submitted_ms is None:
            raise PolicyError(f"{self.task_run}: the aggregator does not say when the run was submitted")
        inputs = asked.inputs
        return SumContext(
            federation=self.task_run.context.identity.federation,
            run_id=run.run_id,
            submitted_ms=run.submitted_ms,
            plan_digest=run.plan_digest,
            round_number=asked.round_number,
            exchange=asked.exchange,
            counted=asked.accepted,
            task=asked.task,
            model=None if asked.model is None else asked.model.digest,
            groups=inputs.groups,
            settings=inputs.settings,
            cells=inputs.cells,
            cell=self.cell.name,
            members=self.cell.members,
            colluders=colluders_of(self.plan),
            layout=layout.digest,
        ).digest

    def _record(self, facts: VectorFacts, layout: Layout) -> SumPrepared:
        run, asked, cell = self.task_run.run, self.task_run.assignment, self.cell
        return SumPrepared(
            run_id=run.run_id,
            submitted_ms=run.submitted_ms,
            plan_digest=run.plan_digest,
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            model=None if asked.model is None else asked.model.digest,
            cell=cell.name,
            members=cell.members,
            colluders=cell.colluders,
            data=cell.data.names,
            paths=cell.data.paths,
            context=facts.context,
            layout=facts.layout,
            commitment=facts.commitment,
            words=layout.words,
            **stated(asked.inputs),
        )
