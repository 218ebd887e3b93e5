"""Sites that answer an aggregator as their agents would, in a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.blobs import named
from tests.federations import A_HEAD, MODEL, FederationFixture, signed

from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.run import Phase, Run
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.significant import significant
from hanse.errors import LateResultError, PolicyError, StorageError
from hanse.wire.messages.sites import (
    TASK_RESULT,
    Assignment,
    NextRequest,
    ResultRequest,
    RunWork,
    TaskOutcome,
    UpdateFile,
)
from hanse.wire.tensors import decode, encode


class FakeSite:
    """Answers everything that it is asked, as an agent would: `w` grows by `step` a round.

    Attributes:
        performed: Tasks that it performed, each with its run, exchange and name.
        accepted: Runs and exchanges for which its result was taken.
        asked_again: Those for which it was asked once more after that.
        before_result: Called when a task was performed and before its result is sent.
        pause_s: How long a task takes.
    """

    def __init__(self, fixture: FederationFixture, name: str, step: float) -> None:
        self.name = name
        self.performed: list[tuple[str, int, str]] = []
        self.accepted: set[tuple[str, int]] = set()
        self.asked_again: list[tuple[str, int]] = []
        self.before_result: Callable[[int], None] = lambda exchange: None
        self.pause_s = 0.0
        self._fixture = fixture
        self._step = step

    async def serve(self) -> None:
        """Do what is asked until cancelled, through restarts of the service."""
        known = ""
        while True:
            try:
                work = await self._fixture.upstream(self.name).next(NextRequest(known=known, wait_s=0.2))
                for run in work.runs:
                    await self._see_to(run)
                known = work.version
            except StorageError:  # the service is being restarted
                await asyncio.sleep(0.02)

    async def _see_to(self, run: RunWork) -> None:
        if run.review:
            await self._fixture.answer(run.run_id, self.name)
        for asked in run.assignments:
            if (run.run_id, asked.exchange) in self.accepted:
                self.asked_again.append((run.run_id, asked.exchange))
            else:
                await self._settle(run, asked)

    async def _settle(self, run: RunWork, asked: Assignment) -> None:
        self.performed.append((run.run_id, asked.exchange, asked.task))
        outcome, update = await self._perform(run, asked)
        await asyncio.sleep(self.pause_s)
        self.before_result(asked.exchange)
        body = outcome.model_dump(mode="json")
        statement = signed(self._fixture.credentials[self.name], TASK_RESULT, body)
        while (run.run_id, asked.exchange) not in self.accepted:
            upstream = self._fixture.upstream(self.name)
            try:
                if update is not None:
                    await upstream.deliver(named(update.read_bytes()), update)
                await upstream.result(ResultRequest(statement=statement))
                self.accepted.add((run.run_id, asked.exchange))
            except StorageError:
                await asyncio.sleep(0.02)
            except (LateResultError, PolicyError):  # the run was stopped meanwhile: asked no more
                return

    async def _perform(self, run: RunWork, asked: Assignment) -> tuple[TaskOutcome, Path | None]:
        model = MODEL if asked.model is None else await self._model(asked.model)
        size = round(self._step * 10)
        loss = significant(float(np.mean(model["w"])) + self._step, 6)
        said: dict[str, Any] = {"metrics": {"loss": loss}}
        tensors: Parameters | None = {"w": model["w"] * np.float32(0.5) + np.float32(self._step)}
        if asked.task == INITIALISE:
            said, tensors = {}, MODEL
        elif asked.task == "evaluate":
            tensors = None
        update = None
        if tensors is not None:
            update = self._fixture.directory / f"{self.name}.safetensors"
            update.write_bytes(encode(tensors))
            data = update.read_bytes()
            said["update"] = UpdateFile(digest=named(data), size=len(data))
        outcome = TaskOutcome(
            federation="north",
            site=self.name,
            run_id=run.run_id,
            plan_digest=run.plan_digest,
            exchange=asked.exchange,
            round_number=asked.round_number,
            task=asked.task,
            model=asked.model,
            outcome="done",
            num_examples=size,
            journal=A_HEAD,
            roster=asked.roster,
            **said,
        )
        return outcome, update

    async def _model(self, model: ModelRef) -> dict[str, Any]:
        path = self._fixture.service.blob_requests.blob_to_send(self._fixture.peer(self.name), model.digest)
        return decode(path.read_bytes())


@asynccontextmanager
async def fake_sites(fixture: FederationFixture) -> AsyncIterator[dict[str, FakeSite]]:
    """All sites of a federation, answering as long as the block lasts."""
    sites = {
        name: FakeSite(fixture, name, step=place + 1.0)
        for place, name in enumerate(sorted(fixture.credentials))
    }
    tasks = [asyncio.create_task(site.serve()) for site in sites.values()]
    try:
        yield sites
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
        assert not failed, failed


async def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until something is the case."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def until_phase(fixture: FederationFixture, run_id: str, *phases: Phase) -> Run:
    """Wait until a run is in one of these phases, through restarts of the service."""
    await until(lambda: fixture.run(run_id).phase in phases)
    return fixture.run(run_id)
