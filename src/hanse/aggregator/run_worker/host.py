"""The service's side of a run worker: its requests, carried out on the run."""

from __future__ import annotations

import asyncio
from typing import assert_never

from hanse.aggregator.blobs.model_deltas import ModelDeltas
from hanse.aggregator.blobs.retention import Retention, references, superseded
from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run_worker.protocol import (
    AnswerReply,
    AnswersReply,
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    FailCall,
    FinishCall,
    NextCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    SumReply,
    WorkerModel,
)
from hanse.aggregator.run_worker.taken_in import check_groups, check_results
from hanse.aggregator.run_worker.workspace import Workspace
from hanse.aggregator.sealed.blobs import expect_update, keep_content
from hanse.aggregator.sums.layouts import SumLayouts
from hanse.aggregator.sums.opening import opened_sums
from hanse.compression.update import upload_codec
from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.decide import Command
from hanse.core.run.exchange import Exchange
from hanse.core.run.hosting import (
    accepted_result,
    check_model,
    check_sum,
    dead_exchanges,
    first_site,
    next_ready,
    staleness,
    standing_of,
    stream_model,
)
from hanse.core.run.lifecycle import Fail, Finish
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.run import Run
from hanse.core.run.sums.commands import RecordSum
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.safe_text import outgoing_line
from hanse.core.values.schema import Strict
from hanse.core.values.update import Aggregate, Update, given
from hanse.errors import WorkflowError
from hanse.storage.base import BlobStore
from hanse.updates.aggregate_file import aggregate_file, has_arrays
from hanse.updates.incoming import fold, open_update_blob
from hanse.wire.tensors import open_file


class CallHandler:
    """Carries out a run worker's calls, one after another.

    What a worker does again after it died gets the same answers: all that it
    has been told stands in the journal or follows from it. Which sum it was
    given is written down while it goes on, and before anything that it does next.
    """

    def __init__(
        self,
        controller: RunController,
        blobs: BlobStore,
        retention: Retention,
        workspace: Workspace,
        model_deltas: ModelDeltas,
        layouts: SumLayouts,
    ) -> None:
        self._controller = controller
        self._blobs = blobs
        self._retention = retention
        self._workspace = workspace
        self._model_deltas = model_deltas
        self._layouts = layouts
        self._noting: asyncio.Task[object] | None = None
        """What the worker has been told is being written down."""

    @property
    def _run(self) -> Run:
        return self._controller.run

    async def handle(self, call: Call) -> Strict | None:
        """Carry out one call; None where there is nothing to tell.

        Raises:
            StorageError: The disk or the journal; the worker had best begin again from the last commit.
            HanseError: What the workflow asked cannot be; it is for the worker.
        """
        match call:
            case StandingCall():
                return await asyncio.to_thread(self._standing)
            case OpenRoundCall():
                await self._execute(OpenRound(call.round_number))
                self._controller.must_run()
                return CohortReply(cohort=self._run.cohort, population=self._run.round_population)
            case ExchangeCall(call="ask"):
                return await self._ask(call)
            case ExchangeCall():
                return await self._sum(call)
            case NextCall():
                return await self._next(call)
            case CommitCall():
                return await self._commit(call)
            case FinishCall():
                await self._execute(Finish())
                return None
            case FailCall():
                await self._execute(Fail(call.error, outgoing_line(call.reason)))
                return None
            case _:
                assert_never(call)

    async def _execute(self, *commands: Command) -> None:
        """Carry out commands, once what was told before them is written down."""
        noting, self._noting = self._noting, None
        if noting is not None:
            await noting
        await self._controller.execute(*commands)

    def _note(self, *commands: Command) -> None:
        """Carry out commands; whoever executes the next one waits for them, and hears of a failure."""
        self._noting = asyncio.create_task(self._controller.execute(*commands))
        self._noting.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _standing(self) -> StandingReply:
        now = standing_of(self._run)
        model = now.initial or now.model
        return StandingReply(
            committed=now.committed,
            ref=model,
            model=None if model is None else self._lend(model.digest),
            state=self._lend(now.state),
            complete=now.complete,
            population=now.population,
            results={name: self._workspace.lend(digest) for name, digest in now.results.items()},
        )

    async def _ask(self, call: ExchangeCall) -> AnswersReply:
        self._check_asked(call)
        exchange = await self._exchange(call)
        return AnswersReply(
            answers=tuple([await self._answer(exchange, site, staleness=0) for site in exchange.answered]),
            model=exchange.model,
        )

    async def _sum(self, call: ExchangeCall) -> SumReply:
        self._check_asked(call)
        exchange = await self._exchange(call)
        check_sum(self._run.plan, exchange)
        aggregate, digest, sums = await asyncio.to_thread(self._fold, exchange)
        # A digest of plain text would confirm a guess at it.
        stated = None if self._run.plan.sealed is not None else digest
        recording = RecordAggregate(exchange.number, aggregate.sites, aggregate.num_examples, stated)
        self._note(*sums, recording)
        return SumReply(
            num_examples=aggregate.num_examples,
            metrics=dict(aggregate.metrics),
            file=None if digest is None else _sum_file(exchange),
            updated=aggregate.delta is not None,
            sites=aggregate.sites,
            model=exchange.model,
            clipped=aggregate.clipped,
            out_of_range=aggregate.out_of_range,
        )

    async def _next(self, call: NextCall) -> AnswersReply:
        check_asked(self._run.plan, call.task, self._run.committed + 1, individually=True)
        taken = frozenset(call.taken)
        opening = OpenStream(call.task, stream_model(self._run), taken)
        while True:
            await self._execute(opening)
            self._controller.must_run()
            seen = self._controller.events
            ready = next_ready(self._run, taken)
            if ready is not None:
                answer = await self._answer(ready, first_site(ready), staleness(self._run, ready))
                return AnswersReply(answers=(answer,))
            await self._controller.wait_for_events(seen)

    async def _commit(self, call: CommitCall) -> StandingReply:
        model, state, results = await asyncio.to_thread(self._take_in, call)
        consumed = (*call.consumed, *dead_exchanges(self._run))
        await self._execute(Commit(call.round_number, model, call.metrics, state, consumed, results))
        await self._retention.collect(superseded(self._controller.before_last_commit) | self._workspace.taken)
        return await asyncio.to_thread(self._begin_anew)

    def _begin_anew(self) -> StandingReply:
        self._workspace.clear()
        keep_content(self._blobs, references(self._run))
        return self._standing()

    def _take_in(self, call: CommitCall) -> tuple[ModelRef | None, str | None, dict[str, str]]:
        """Take the model, the state and the results of a commit from the worker, and check them."""
        model = None if call.model == WorkerModel() else self._committed_model(call.model)
        state = None if call.state is None else self._workspace.take(call.state, ("state", "state"))
        results = {name: self._workspace.take(file, ("result", name)) for name, file in call.results.items()}
        check_results(self._run, results, self._blobs)
        return model, state, results

    def _committed_model(self, named: WorkerModel) -> ModelRef:
        model, before = self._model(named), self._run.model
        check_model(
            self._run.plan,
            open_file(self._blobs.path(model.digest)),
            None if before is None else open_file(self._blobs.path(before.digest)),
        )
        self._model_deltas.prepare(self._run, model)
        return model

    async def _exchange(self, call: ExchangeCall) -> Exchange:
        """Ask, unless it was asked before, and wait."""
        bare = call.task == INITIALISE or call.model == WorkerModel()
        model = None if bare else await asyncio.to_thread(self._ask_with, call.model)
        inputs = AskInputs({}, call.settings, call.cells)
        if call.groups:
            inputs = await asyncio.to_thread(self._inputs, call, model)
        asking = OpenExchange(call.round_number, call.index, call.task, model, call.sites, inputs)
        if masks(self._run.plan, call.task):  # what cannot be laid out is refused before a site is asked
            await asyncio.to_thread(self._layouts.of, self._run, asking)
        await self._execute(OpenRound(call.round_number), asking)
        return await self._controller.closed(lambda run: run.in_round()[call.index])

    def _inputs(self, call: ExchangeCall, model: ModelRef | None) -> AskInputs:
        """Take in what the sites receive beside the model, and hold it against the plan."""
        groups = {
            name: self._workspace.take(file, ("group", name)) for name, file in sorted(call.groups.items())
        }
        check_groups(self._run.plan, call.task, model, groups, self._blobs)
        return AskInputs(groups, call.settings, call.cells)

    def _ask_with(self, named: WorkerModel) -> ModelRef:
        model = self._model(named)
        self._model_deltas.prepare(self._run, model)
        return model

    def _fold(self, exchange: Exchange) -> tuple[Aggregate, str | None, tuple[RecordSum, ...]]:
        """Sum the answers for the worker to read; the aggregate, the digest of its file, and masked sums."""
        if exchange.sums:
            folder = self._workspace.sums
            with opened_sums(self._run, exchange, self._layouts, self._blobs, folder) as opened:
                return opened.aggregate, self._show(exchange, opened.aggregate), opened.records
        updates = []
        for site in exchange.answered:
            answer = accepted_result(exchange, site)
            delta = None if answer.update is None else self._open(exchange, site, answer.update)
            updates.append(Update(site, answer.num_examples, given(answer.metrics), delta))
        aggregate = fold(self._run.plan, exchange.task, updates)
        return aggregate, self._show(exchange, aggregate), ()

    def _show(self, exchange: Exchange, aggregate: Aggregate) -> str | None:
        if not has_arrays(aggregate):
            return None
        return self._workspace.show(_sum_file(exchange), aggregate_file(aggregate))

    async def _answer(self, exchange: Exchange, site: str, staleness: int) -> AnswerReply:
        answer = accepted_result(exchange, site)
        return AnswerReply(
            exchange=exchange.number,
            site=site,
            num_examples=answer.num_examples,
            metrics=given(answer.metrics),
            update=await asyncio.to_thread(self._lend_update, exchange, site, answer.update),
            staleness=staleness,
        )

    def _lend(self, digest: str | None) -> str | None:
        return None if digest is None else self._workspace.lend(digest)

    def _lend_update(self, exchange: Exchange, site: str, digest: str | None) -> str | None:
        """As `_lend`; what travelled compressed is written out, as the workflow expects it."""
        if digest is None or upload_codec(self._run.plan, exchange.task) is None:
            if digest is not None:
                expect_update(self._blobs, digest, exchange.number, site)
            return self._lend(digest)
        name = f"{exchange.number}-{digest}.safetensors"
        self._workspace.show(name, self._open(exchange, site, digest))
        return name

    def _open(self, exchange: Exchange, site: str, digest: str) -> Parameters:
        expect_update(self._blobs, digest, exchange.number, site)
        return open_update_blob(self._blobs, self._run, exchange, site, digest)

    def _model(self, named: WorkerModel) -> ModelRef:
        """The model that the worker named or wrote; reads it."""
        if named.file is not None:
            return ModelRef(self._workspace.take(named.file))
        run, ref = self._run, named.ref
        if ref is None:
            raise WorkflowError("the workflow named no model")
        initial = run.manifest.initial_model
        known = {run.model, *(e.model for e in (*run.exchanges.values(), *run.earlier))}
        known.add(None if initial is None else ModelRef(initial.sha256))
        if ref not in known and ref.digest not in self._workspace.taken:
            raise WorkflowError(f"the workflow named a model {ref.short} that this run does not have")
        self._blobs.whole(ref.digest)  # before sites are sent it
        return ref

    def _check_asked(self, call: ExchangeCall) -> None:
        individually = call.call == "ask" or call.sites is not None
        check_asked(self._run.plan, call.task, call.round_number, individually=individually)


def _sum_file(exchange: Exchange) -> str:
    return f"sum-{exchange.number}.safetensors"
