"""A run worker whose calls a test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.fake_sites import until
from tests.federations import INDIVIDUAL, MODEL, FederationFixture

from hanse.aggregator.run_worker.host import CallHandler
from hanse.aggregator.run_worker.protocol import (
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    OpenRoundCall,
    StandingReply,
    WorkerModel,
)
from hanse.aggregator.run_worker.workspace import Workspace
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.schema import Strict
from hanse.wire.tensors import encode, open_file, write_file

Run = Callable[[Any], Any]
R = TypeVar("R", bound=Strict)

FIRST = WorkerModel(ref=ModelRef(sha256(encode(MODEL))))
INDIVIDUALLY = {"train": {"discloses": INDIVIDUAL}, "evaluate": {"discloses": {"metrics": ["loss"]}}}


class Worker:
    """A run worker whose calls the test makes; `again` is what starts after it was killed."""

    def __init__(self, fixture: FederationFixture, run_id: str) -> None:
        self.fixture = fixture
        self.run_id = run_id
        controller, retention = fixture.controller(run_id), fixture.service._run_registry.retention
        self.workspace = Workspace(
            fixture.options.runs / run_id, fixture.blobs, max_bytes=10**6, algorithm="blake3"
        )
        registry = fixture.service._run_registry
        self.host = CallHandler(
            controller, fixture.blobs, retention, self.workspace, registry.model_deltas, registry.layouts
        )

    def again(self) -> Worker:
        return Worker(self.fixture, self.run_id)

    async def call(self, call: Call, kind: type[R]) -> R:
        reply = await self.host.handle(call)
        assert isinstance(reply, kind)
        return reply

    def written(self, parameters: Parameters, name: str = "1.safetensors") -> WorkerModel:
        write_file(self.workspace.outbox / name, parameters)
        return WorkerModel(file=name)

    def read(self, name: str | None) -> list[float]:
        assert name is not None
        values: list[float] = open_file(self.workspace.inbox / name)["w"].tolist()
        return values

    async def commit(self, number: int, model: WorkerModel, **more: Any) -> StandingReply:
        call = CommitCall(
            round_number=number, model=model, **{"metrics": {}, "state": None, "consumed": ()} | more
        )
        return await self.call(call, StandingReply)

    async def in_round(self, number: int = 1) -> Worker:
        """With the plan's model committed and a round open."""
        await self.commit(0, FIRST)
        await self.call(OpenRoundCall(round_number=number), CohortReply)
        return self

    async def asking(self, call: ExchangeCall) -> asyncio.Task[Strict | None]:
        """Ask, and come back as soon as the sites have been asked."""
        task = asyncio.create_task(self.host.handle(call))
        known = self.fixture.run(self.run_id).last_exchange
        await until(lambda: self.fixture.run(self.run_id).last_exchange > known or task.done())
        return task


def exchange(kind: str = "sum", task: str = "train", model: WorkerModel = FIRST, **more: Any) -> ExchangeCall:
    said = {"call": kind, "round_number": 1, "index": 0, "task": task, "model": model}
    return ExchangeCall.model_validate(said | more)


@asynccontextmanager
async def worker(fixture: FederationFixture, **plan: Any) -> AsyncIterator[Worker]:
    """A worker of a run that all sites accepted."""
    async with fixture.serving():
        run_id = await fixture.submit(**{"initial": MODEL, **plan})
        await fixture.accepted(run_id)
        yield Worker(fixture, run_id)


async def all_answer(worker: Worker, **changes: Any) -> None:
    """The sites answer 1, 2 and 3, in an order that is not theirs."""
    for value, name in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
        await worker.fixture.answered(worker.run_id, name, value, **changes)
