"""Runs at a real aggregator, interrupted at every call of their worker: the model is the same to the bit."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sites import FakeSite, fake_sites, until, until_phase
from tests.federations import MODEL, FederationFixture
from tests.stand_ins import ThreadWorker

from hanse import fault_points
from hanse.core.run.round_events import UpdatesAggregated
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.run.run import Run as RunState
from hanse.core.values.model_ref import ModelRef
from hanse.fault_points import Facts, FaultPoint
from hanse.sandbox.confine import Confinement
from hanse.sandbox.process import WorkerProcess, WorkerSpec
from hanse.wire.messages.runs import StopRequest

Run = Callable[[Any], Any]

CALLS = (
    "standing",
    "open round 0",
    "ask initialise",
    "commit 0",
    "sum train",
    "ask evaluate",
    "commit 1",
    "finish",
)
"""What the worker of a run with one round asks, in order."""
EXCHANGES = {1: "initialise", 2: "train", 3: "evaluate"}

AT_CALLS = [
    pytest.param(number, moment, id=f"{moment} {call}")
    for number, call in enumerate(CALLS)
    for moment in ("before", "after")
]
BEFORE_THE_END = AT_CALLS[:-1]
"""With the call by which a run finishes, its worker is done with."""
IN_EXCHANGES = [pytest.param(number, id=task) for number, task in EXCHANGES.items()]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FederationFixture:
    return FederationFixture.new(tmp_path_factory.mktemp("federation") / "aggregator")


@pytest.fixture
def fixture(tmp_path: Path, template: FederationFixture) -> FederationFixture:
    return template.copied(tmp_path / "aggregator")


@pytest.fixture
def on_threads(fixture: FederationFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs' workers be threads of this process."""
    monkeypatch.setattr(ThreadWorker, "started", [], raising=False)
    fixture.reopen(worker_process=ThreadWorker)


class Interruption:
    """Something that happens once, at a call of a run's worker or while a site performs a task.

    Attributes:
        calls: Calls so far, those of workers that were started again included.
    """

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self.calls = 0
        self._act = act
        self._at: tuple[int, str] | None = None

    def at_call(self, number: int, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._at = (number, moment)
        monkeypatch.setattr(fault_points, "observer", self)

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        """Appends and copies pass."""

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        """Calls come one after another."""
        if point is FaultPoint.BEFORE_CALL:
            self.calls += 1
            await self._maybe(self.calls - 1, "before")
        elif point is FaultPoint.AFTER_CALL:
            await self._maybe(self.calls - 1, "after")

    async def _maybe(self, *at: Any) -> None:
        if at == self._at:
            await self._act()


class Workers:
    """The real worker processes of a federation; knows the last one."""

    def __init__(self, fixture: FederationFixture) -> None:
        self.pids: list[int] = []
        fixture.reopen(worker_process=self)

    async def start(self, spec: WorkerSpec) -> WorkerProcess:
        worker = await WorkerProcess.start(spec)
        self.pids.append(worker.pid)
        return worker

    async def kill(self) -> None:
        os.killpg(self.pids[-1], signal.SIGKILL)


async def finished(fixture: FederationFixture, sites: dict[str, FakeSite], **plan: Any) -> RunState:
    """A run of one round, to its end."""
    run_id = await fixture.submit(rounds=1, **plan)
    return await check(fixture, run_id, sites)


async def check(fixture: FederationFixture, run_id: str, sites: dict[str, FakeSite]) -> RunState:
    """Wait for the end of a run, which has to be what it would be undisturbed."""
    ended = await until_phase(fixture, run_id, *TERMINAL)
    assert (ended.phase, ended.reason) == (Phase.FINISHED, "")
    assert all(site.asked_again == [] for site in sites.values())
    assert all(len(site.performed) == len(set(site.performed)) for site in sites.values())
    sums = [e.aggregate for e in fixture.events(run_id) if isinstance(e, UpdatesAggregated)]
    assert len(sums) == 1
    assert ended.model is not None
    left = {path.name for path in fixture.directory.glob("blobs/*/*")}
    assert left == {ended.plan_digest, ended.manifest.files[0].sha256, ended.model.digest}
    return ended


@pytest.fixture(scope="module")
def undisturbed(template: FederationFixture, tmp_path_factory: pytest.TempPathFactory) -> ModelRef | None:
    """The model that a run ends with when nothing happens."""
    fixture = template.copied(tmp_path_factory.mktemp("undisturbed") / "aggregator")

    async def main() -> ModelRef | None:
        async with fixture.serving(), fake_sites(fixture) as sites:
            return (await finished(fixture, sites)).model

    return asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "moment"), AT_CALLS)
def test_a_worker_is_killed_at_any_call(
    number: int,
    moment: str,
    undisturbed: ModelRef,
    fixture: FederationFixture,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Workers(fixture)
    interruption = Interruption(workers.kill)
    interruption.at_call(number, moment, monkeypatch)

    async def main() -> ModelRef | None:
        async with fixture.serving(), fake_sites(fixture) as sites:
            return (await finished(fixture, sites)).model

    assert run(main()) == undisturbed
    assert interruption.calls >= len(CALLS)
    assert len(workers.pids) == (1 if CALLS[number] == "finish" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("exchange", IN_EXCHANGES)
def test_a_worker_is_killed_while_it_waits_for_sites(
    exchange: int, undisturbed: ModelRef, fixture: FederationFixture, run: Run
) -> None:
    workers = Workers(fixture)

    def kill(number: int) -> None:
        if number == exchange and len(workers.pids) == 1:
            os.killpg(workers.pids[0], signal.SIGKILL)

    async def main() -> ModelRef | None:
        async with fixture.serving(), fake_sites(fixture) as sites:
            sites["a"].before_result = kill
            return (await finished(fixture, sites)).model

    assert run(main()) == undisturbed
    assert len(workers.pids) == 2


@pytest.mark.usefixtures("on_threads")
@pytest.mark.parametrize(("number", "moment"), BEFORE_THE_END)
def test_an_aggregator_is_started_anew_at_any_call(
    number: int,
    moment: str,
    undisturbed: ModelRef,
    fixture: FederationFixture,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> ModelRef | None:
        here = asyncio.Event()

        async def close() -> None:
            here.set()
            await asyncio.Event().wait()  # what the service was doing is not done

        Interruption(close).at_call(number, moment, monkeypatch)
        async with fixture.serving(), fake_sites(fixture) as sites:
            run_id = await fixture.submit(rounds=1)
            await until(here.is_set)
            await fixture.restart()
            return (await check(fixture, run_id, sites)).model

    assert run(main()) == undisturbed


@pytest.mark.usefixtures("on_threads")
@pytest.mark.parametrize("exchange", IN_EXCHANGES)
def test_an_aggregator_is_started_anew_while_sites_work(
    exchange: int, undisturbed: ModelRef, fixture: FederationFixture, run: Run
) -> None:
    async def main() -> ModelRef | None:
        here = asyncio.Event()
        async with fixture.serving(), fake_sites(fixture) as sites:
            sites["a"].before_result = lambda number: here.set() if number == exchange else None
            run_id = await fixture.submit(rounds=1)
            await until(here.is_set)
            await fixture.restart()
            return (await check(fixture, run_id, sites)).model

    assert run(main()) == undisturbed


@pytest.mark.usefixtures("on_threads")
def test_answers_in_another_order_make_the_same_model(
    undisturbed: ModelRef, fixture: FederationFixture, run: Run
) -> None:
    async def main() -> ModelRef | None:
        async with fixture.serving(), fake_sites(fixture) as sites:
            sites["a"].pause_s = 0.05
            return (await finished(fixture, sites)).model

    assert run(main()) == undisturbed


WORKFLOW = """
import os, threading, time

def hoards(federation):
    next(federation.rounds())
    held = os.memfd_create("held")
    for _ in range(300):
        os.write(held, bytes(1 << 20))
    time.sleep(60)

def digs(federation):
    for _ in range(1100):
        os.mkdir("d" * 20)
        os.chdir("d" * 20)
    raise ValueError("deep enough")

def hangs(federation):
    round = next(federation.rounds())
    round.commit(round.model)
    threading.Thread(target=time.sleep, args=(600,)).start()

def computes(federation):
    round = next(federation.rounds())
    print("computing", flush=True)
    while True:
        pass
"""


def own(function: str) -> dict[str, Any]:
    return {"initial": MODEL, "code": WORKFLOW.encode(), "path": "flow.py", "workflow": f"flow:{function}"}


@pytest.mark.slow
def test_a_worker_that_hangs_at_the_end_is_ended(fixture: FederationFixture, run: Run) -> None:
    workers = Workers(fixture)

    async def main() -> None:
        async with fixture.serving() as service, fake_sites(fixture):
            run_id = await fixture.submit(**own("hangs"))
            assert (await until_phase(fixture, run_id, *TERMINAL)).phase is Phase.FINISHED
            await until(lambda: not service._run_registry._tasks)

    run(main())

    with pytest.raises(ProcessLookupError):
        os.kill(workers.pids[0], 0)


@pytest.mark.slow
def test_a_workflow_that_takes_too_much_memory_ends_its_run_and_no_other(
    fixture: FederationFixture, run: Run
) -> None:
    def limited(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
        return Confinement(read=read, write=write, memory_bytes=200 << 20)

    fixture.reopen(worker=limited)

    async def main() -> None:
        async with fixture.serving(), fake_sites(fixture) as sites:
            run_id = await fixture.submit(**own("hoards"))
            ended = await until_phase(fixture, run_id, *TERMINAL)
            assert ended.phase is Phase.FAILED
            assert "more than the 210 MB that `worker: {memory: ...}` permits. Raise `memory`" in ended.reason
            other = await until_phase(fixture, await fixture.submit(rounds=1), *TERMINAL)
            assert other.phase is Phase.FINISHED
            assert sites

    run(main())


@pytest.mark.slow
def test_folders_too_deep_to_be_named_go_with_their_run(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service, fake_sites(fixture):
            run_id = await fixture.submit(**own("digs"))
            ended = await until_phase(fixture, run_id, *TERMINAL)
            assert "deep enough" in ended.reason
            await until(lambda: not service._run_registry._tasks)
            assert list((fixture.options.runs / run_id).glob("life-*")) == []

    run(main())


@pytest.mark.slow
def test_a_run_is_stopped_while_its_workflow_computes(fixture: FederationFixture, run: Run) -> None:
    workers = Workers(fixture)

    async def main() -> None:
        async with fixture.serving() as service, fake_sites(fixture):
            run_id = await fixture.submit(**own("computes"))
            log = fixture.options.runs / run_id / "worker.log"
            await until(lambda: log.exists() and "computing" in log.read_text())
            await service.run_requests.stop(fixture.operator, run_id, StopRequest())
            await until(lambda: not service._run_registry._tasks)

    run(main())

    with pytest.raises(ProcessLookupError):
        os.kill(workers.pids[0], 0)
