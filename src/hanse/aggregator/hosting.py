"""The service's side of a run worker: its requests, carried out on the run."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import assert_never

from hanse.aggregation.fedavg import fed_avg
from hanse.aggregator.calls import (
    AnswerReply,
    AnswersReply,
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    FailCall,
    FinishCall,
    ModelRef,
    NextCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    SumReply,
)
from hanse.aggregator.controller import RunController
from hanse.core.commands import (
    Commit,
    Fail,
    Finish,
    OpenExchange,
    OpenRound,
    OpenStream,
    RecordAggregate,
)
from hanse.core.disclosure import disclosure_of
from hanse.core.exchange import Answer, Exchange
from hanse.core.parameters import mismatch, not_finite, specs
from hanse.core.plan import INITIALISE, Strict
from hanse.core.run import Run
from hanse.core.update import Aggregate, Update
from hanse.errors import DisclosureError, WorkflowError
from hanse.storage.base import BlobStore
from hanse.wire.tensors import open_file, write_file


class Workspace:
    """The folders through which a run worker and its service pass files."""

    def __init__(self, directory: Path, blobs: BlobStore, *, share: bool) -> None:
        """Make the folders anew.

        Args:
            directory: Of this run.
            blobs: Where the files come from and go to.
            share: Whether the worker is kept from writing to `in/`, so that a blob may be
                linked there; copied otherwise.
        """
        self._blobs = blobs
        self._share = share
        self.inbox = directory / "in"
        self.outbox = directory / "out"
        for folder in (self.inbox, self.outbox):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def lend(self, digest: str) -> str:
        """Show a blob to the worker; its name in `in/`."""
        name = f"{digest}.safetensors"
        place = self.inbox / name
        if not place.exists():
            if self._share:
                os.link(self._blobs.path(digest), place)
            else:
                shutil.copyfile(self._blobs.path(digest), place)
        return name

    def take(self, name: str) -> str:
        """Take in a file that the worker wrote; its digest."""
        path = self.outbox / name
        if path.is_symlink() or not path.is_file():
            raise WorkflowError(f"the workflow named a file {name} that it did not write")
        return self._blobs.adopt(path)

    def clear(self) -> None:
        """Take back what was lent; the blobs stay."""
        for path in self.inbox.iterdir():
            path.unlink()


class WorkflowHost:
    """Carries out a run worker's calls, one after another."""

    def __init__(self, controller: RunController, blobs: BlobStore, workspace: Workspace) -> None:
        self._controller = controller
        self._blobs = blobs
        self._workspace = workspace

    @property
    def _run(self) -> Run:
        return self._controller.run

    async def handle(self, call: Call) -> Strict | None:
        """Carry out one call; None where there is nothing to tell."""
        match call:
            case StandingCall():
                return self._standing()
            case OpenRoundCall():
                await self._controller.execute(OpenRound(call.round_number))
                self._controller.must_run()
                return CohortReply(cohort=self._run.cohort)
            case ExchangeCall(call="ask"):
                return await self._ask(call)
            case ExchangeCall():
                return await self._sum(call)
            case NextCall():
                return await self._next(call)
            case CommitCall():
                return await self._commit(call)
            case FinishCall():
                await self._controller.execute(Finish())
                return None
            case FailCall():
                await self._controller.execute(Fail(call.error, call.reason))
                return None
            case _:
                assert_never(call)

    def _standing(self) -> StandingReply:
        run, lend = self._run, self._workspace.lend
        initial = run.manifest.initial_model
        digest = initial.sha256 if run.model is None and initial is not None else run.model
        return StandingReply(
            committed=run.committed,
            digest=digest,
            model=None if digest is None else lend(digest),
            state=None if run.state is None else lend(run.state),
            complete=run.complete,
            population=run.population,
        )

    async def _exchange(self, call: ExchangeCall) -> Exchange:
        model = None if call.task == INITIALISE else await self._model(call.model)
        await self._controller.execute(
            OpenExchange(call.round_number, call.index, call.task, model, call.sites)
        )
        return await self._controller.closed(lambda run: run.in_round()[call.index])

    async def _ask(self, call: ExchangeCall) -> AnswersReply:
        disclosed = self._disclosed(call.task)
        if disclosed == "aggregate":
            raise DisclosureError(f"the plan discloses the updates of {call.task!r} only in aggregate")
        exchange = await self._exchange(call)
        return AnswersReply(
            answers=tuple(self._answer(exchange, site, self._run.committed) for site in exchange.answered)
        )

    async def _sum(self, call: ExchangeCall) -> SumReply:
        self._disclosed(call.task)
        exchange = await self._exchange(call)
        uniform = self._run.plan.aggregation.rule == "mean"
        updates = [self._update(site, _answered(exchange, site)) for site in exchange.answered]
        aggregate, digest = await asyncio.to_thread(self._fold, updates, uniform)
        await self._controller.execute(
            RecordAggregate(exchange.number, aggregate.sites, aggregate.num_examples, digest)
        )
        return SumReply(
            num_examples=aggregate.num_examples,
            metrics=dict(aggregate.metrics),
            delta=None if digest is None else self._workspace.lend(digest),
            sites=aggregate.sites,
        )

    def _fold(self, updates: list[Update], uniform: bool) -> tuple[Aggregate, str | None]:
        aggregate = fed_avg(updates, uniform=uniform)
        if aggregate.delta is None:
            return aggregate, None
        path = self._workspace.outbox.parent / "aggregate.safetensors"
        write_file(path, aggregate.delta)
        return aggregate, self._blobs.adopt(path)

    async def _next(self, call: NextCall) -> AnswersReply:
        if self._disclosed(call.task) == "aggregate":
            raise DisclosureError(f"the plan discloses the updates of {call.task!r} only in aggregate")
        model = self._run.model
        if model is None:
            raise WorkflowError("a stream begins after the first model")
        taken = frozenset(call.taken)
        while True:
            await self._controller.execute(OpenStream(call.task, model, taken))
            async with self._controller.signals.watching(self._run.run_id) as changed:
                self._controller.must_run()
                ready = [e for e in self._run.stream() if e.answered and e.number not in taken]
                if ready:
                    # In the order of the journal, so that a restarted workflow gets the same again.
                    first = min(ready, key=lambda e: (e.members[e.order[0]].since_ms, e.number))
                    return AnswersReply(
                        answers=(self._answer(first, first.answered[0], self._run.committed + 1),)
                    )
                await changed.wait()

    async def _commit(self, call: CommitCall) -> StandingReply:
        model = await self._model(call.model)
        if self._run.model is not None:
            await asyncio.to_thread(self._check_model, model, self._run.model)
        state = None if call.state is None else await asyncio.to_thread(self._workspace.take, call.state)
        dead = [e.number for e in self._run.stream() if e.closed is not None and not e.answered]
        await self._controller.execute(
            Commit(call.round_number, model, call.metrics, state, (*call.consumed, *dead))
        )
        self._workspace.clear()
        return self._standing()

    async def _model(self, ref: ModelRef) -> str:
        if ref.file is not None:
            return await asyncio.to_thread(self._workspace.take, ref.file)
        known = {self._run.model, *(e.model for e in self._run.exchanges.values())}
        initial = self._run.manifest.initial_model
        if initial is not None:
            known.add(initial.sha256)
        if ref.digest is None or ref.digest not in known:
            raise WorkflowError(
                f"the workflow named a model {str(ref.digest)[:12]} that this run does not have"
            )
        return ref.digest

    def _check_model(self, digest: str, before: str) -> None:
        new, old = open_file(self._blobs.path(digest)), open_file(self._blobs.path(before))
        problem = mismatch(specs(new), specs(old))
        if problem:
            raise WorkflowError(f"the model to commit is not like the model before it: {problem}")
        bad = not_finite(new)
        if bad:
            raise WorkflowError(f"the model to commit has a NaN or an infinity in tensor {bad!r}")

    def _disclosed(self, task: str) -> str:
        if task != INITIALISE and task not in self._run.plan.tasks:
            raise WorkflowError(f"the plan has no task {task!r}; it has: {', '.join(self._run.plan.tasks)}")
        return disclosure_of(self._run.plan, task).update

    def _answer(self, exchange: Exchange, site: str, version: int) -> AnswerReply:
        answer = _answered(exchange, site)
        return AnswerReply(
            exchange=exchange.number,
            site=site,
            num_examples=answer.num_examples,
            metrics=dict(answer.metrics),
            update=None if answer.update is None else self._workspace.lend(answer.update),
            staleness=max(version - exchange.round_number, 0) if exchange.index < 0 else 0,
        )

    def _update(self, site: str, answer: Answer) -> Update:
        delta = None if answer.update is None else open_file(self._blobs.path(answer.update))
        return Update(site, answer.num_examples, answer.metrics, delta)


def _answered(exchange: Exchange, site: str) -> Answer:
    answer = exchange.members[site].answer
    if answer is None:
        raise WorkflowError(f"{site} has not answered exchange {exchange.number}")
    return answer
