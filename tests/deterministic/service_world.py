"""A federation in virtual time of the real classes: the aggregator's service and the sites' agents.

Only what is between processes is replaced: the network (`WeatheredUpstream` over the transport in
memory), worker processes (`InProcessWorker`), and death (`Process`). One seed makes one schedule.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.deterministic.dying import DyingJournal
from tests.deterministic.fault_plan import CALM, MOST_JUMP_S, FaultPlan, Shape
from tests.deterministic.in_process_workers import WorkersInProcess
from tests.deterministic.service_checks import ServiceChecks
from tests.deterministic.service_fixture import (
    BEGIN,
    LIFETIMES,
    NUMBERS,
    SITES,
    Folders,
    manifest_of,
    memory,
    service_fixture,
)
from tests.deterministic.service_network import WeatheredUpstream, cut
from tests.deterministic.virtual_loop import Process, VirtualLoop
from tests.parties import der

from hanse.aggregator.members.member_registry import MemberRegistry
from hanse.aggregator.options import Options
from hanse.aggregator.service import AggregatorService
from hanse.collaborator.agent import Agent
from hanse.collaborator.context import SiteContext
from hanse.collaborator.identity import Identity
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.settings import SiteSettings
from hanse.core.journal.chain import Record
from hanse.core.journal.site_records import STREAM as SITE
from hanse.core.run.run import TERMINAL, Phase, Run
from hanse.core.values.canonical import digest_of
from hanse.errors import HanseError, RunError
from hanse.pki.signing_key import SigningKey
from hanse.sandbox.confine import Confinement
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal
from hanse.transport.client.retry import Retry
from hanse.wire.messages.runs import StopRequest, SubmitRequest

STORM_S = 300.0
CALM_S = 3_000.0
MOST_STEPS = 150_000
RUN = "demo-1"


class ServiceWorld:
    """One schedule.

    Args:
        seed: Of everything that is left to chance.
        shape: The federation; drawn where it is not given.
        fault_plan: What goes wrong; drawn where it is not given.
        deaths: Numbers of the points at which the process that gets there dies.
        numbers: Data of each site, where sums are masked.
        unanswered: Sites and kinds of request, of which the first is served and gets no answer.
    """

    def __init__(
        self,
        seed: int,
        *,
        shape: Shape | None = None,
        fault_plan: FaultPlan | None = None,
        deaths: Iterable[int] = (),
        numbers: Mapping[str, str] = NUMBERS,
        unanswered: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.shape = shape or drawn_shape(self.random)
        self.fault_plan = fault_plan or drawn_fault_plan(self.random)
        self.points: list[str] = []
        self.sent: list[tuple[str, str, bytes]] = []
        """What left the agents: site, kind of request, and bytes of the message or file."""
        self._deaths = frozenset(deaths)
        self._unanswered = set(unanswered)
        self.root = Path(tempfile.mkdtemp(prefix="hanse-world-", dir=memory()))
        self.data = self._data(numbers) if self.shape.secure else {}
        self.loop = VirtualLoop(self.random, self.dies)
        self.workers = WorkersInProcess(self)
        self.checks = ServiceChecks(self)
        self.aggregator = AggregatorLives(self)
        self.sites = {name: AgentLives(self, name) for name in self.shape.sites}
        self._skew_s = dict.fromkeys(("aggregator", *SITES), 0.0)

    def run(self) -> ServiceWorld:
        """Let it all happen, and check it."""
        try:
            try:
                self.loop.run_until_complete(self.loop.spawn(None, self._happen(), "the world"))
                self.checks.at_the_end()
            finally:
                self.loop.end()
        finally:
            for site in self.sites.values():
                site.close()
            shutil.rmtree(self.root, ignore_errors=True)
        return self

    async def _happen(self) -> None:
        self.aggregator.start()
        for site in self.sites.values():
            site.start()
        operator = asyncio.create_task(self._operate())
        storm = asyncio.create_task(self._storm())
        deadline_s = STORM_S + CALM_S
        while not self.checks.all_done():
            await asyncio.sleep(0.5)
            for task in (operator, storm):
                if task.done():
                    task.result()
            assert self.loop.time() < deadline_s, f"not finished in time: {self.aggregator.where}"
            assert self.loop.steps < MOST_STEPS, f"it moves in circles: {self.aggregator.where}"
        operator.cancel()
        storm.cancel()

    def _data(self, numbers: Mapping[str, str]) -> dict[str, Path]:
        """A file for each site."""
        places = {name: self.root / f"data-{name}" for name in self.shape.sites}
        for name, place in places.items():
            place.write_text(numbers[name])
        return places

    # ---------------------------------------------------------------- weather

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def swallows(self, site: str, what: str) -> bool:
        """Whether the answer to this request of a site never comes; the next one does."""
        if (site, what) not in self._unanswered:
            return False
        self._unanswered.remove((site, what))
        return True

    def delay_s(self) -> float:
        """How long a message takes."""
        return 0.001 * self.random.randint(1, 40) + self.random.random() * self.fault_plan.slow_s

    def dies(self, process: Process, place: str) -> bool:
        """A numbered point: whether the process that gets there dies there, which it then has."""
        number = len(self.points)
        self.points.append(f"{process.name}: {place}")
        if not process.alive or not (number in self._deaths or self.chance(self.fault_plan.dies)):
            return not process.alive
        process.kill()
        return True

    def task_lasts_s(self) -> float | None:
        """How long a task takes; None: it hangs."""
        if self.chance(self.fault_plan.hangs):
            return None
        return 0.05 + self.random.random() * self.fault_plan.lasts_s

    def clock(self, name: str) -> datetime:
        """The clock of a party's machine."""
        return BEGIN + timedelta(seconds=self.loop.time() + self._skew_s[name])

    async def _storm(self) -> None:
        """Things go wrong, and then they do not any more."""
        if self.fault_plan == CALM:
            return
        while self.loop.time() < STORM_S:
            await asyncio.sleep(self.random.uniform(1, 60))
            if self.chance(self.fault_plan.jumps):
                name = self.random.choice(list(self._skew_s))
                self._skew_s[name] = self.random.uniform(-1, 1) * MOST_JUMP_S
        self.fault_plan = CALM
        for site in self.sites.values():
            site.process.kill()

    async def _operate(self) -> None:
        """An operator stops the run now and then, and takes it up again where it has ended early."""
        while True:
            await asyncio.sleep(
                self.random.uniform(2, 10) if self.fault_plan == CALM else self.random.uniform(5, 60)
            )
            run = self.aggregator.run
            if run is None or run.phase is Phase.FINISHED:
                continue
            if run.phase in TERMINAL:
                self.checks.ended_early(run)
                await self.aggregator.ask("resume")
            elif self.chance(self.fault_plan.stops):
                await self.aggregator.ask("stop")

    def committed(self) -> tuple[str, ...]:
        """The models, by their digests."""
        return tuple(r.body["model"] for r in self.aggregator.records() if r.kind == "RoundCommitted")

    def digest(self) -> str:
        """Of the whole journal without signatures, which have random numbers in them."""
        return digest_of([[r.time_ms, r.kind, _unsigned(r.body)] for r in self.aggregator.records()])


class AggregatorLives:
    """The aggregator's process, in one life after another.

    Attributes:
        service: What serves; None where nothing does.
        connected: Replies that somebody waits for.
    """

    def __init__(self, world: ServiceWorld) -> None:
        self._world = world
        self.kept = service_fixture().journal(world.shape.sites)
        self.folders = Folders(world.root, "aggregator")
        self.process = Process("aggregator")
        self.service: AggregatorService | None = None
        self.connected: list[asyncio.Future[Any]] = []

    @property
    def run(self) -> Run | None:
        """The run as the living service has it."""
        return None if self.service is None else self.service._run_registry.find(RUN).run

    @property
    def where(self) -> str:
        return f"{self.process.name} {self.process.alive}, {self.run}"

    def records(self) -> list[Record]:
        return self.kept.read(RUN)

    def start(self) -> None:
        self.process = process = Process("aggregator")
        process.mourners.append(self._mourn)
        self._world.loop.spawn(process, self._live(process), "aggregator")

    async def _live(self, process: Process) -> None:
        world, here, directory = self._world, service_fixture(), self.folders.now

        def clock() -> datetime:
            return world.clock("aggregator")

        journal = DyingJournal(self.kept, lambda place: world.dies(process, place))
        registry = MemberRegistry(journal, here.authority, lifetimes=LIFETIMES, clock=clock)
        options = Options(
            directory=directory,
            url="https://localhost:1",
            max_blob=10**6,
            disk_reserve=0,
            worker=_unconfined,
            worker_process=world.workers,
        )
        blobs = FileBlobStore(directory, recycle_from=1)
        service = AggregatorService(
            options, here.identity(directory), registry, journal, blobs, clock, lambda: "0" * 32
        )
        await service.start()
        if not self.records():
            plan = manifest_of(world.shape, blobs)
            await service.run_requests.submit(here.operator, SubmitRequest(plan_digest=plan.digest))
        self.service = service

    async def ask(self, what: str) -> None:
        """Have the operator say something, which may come to nothing."""
        service, here = self.service, service_fixture()
        if service is None:
            return

        async def serve() -> None:
            try:
                if what == "resume":
                    await service.run_requests.resume(here.operator, RUN)
                else:
                    await service.run_requests.stop(here.operator, RUN, StopRequest(reason="a test"))
            except RunError:
                pass  # it has ended, or goes on again

        asked = self._world.loop.spawn(self.process, serve(), what)
        await asyncio.wait({asked}, timeout=5)

    def _mourn(self) -> None:
        self.service = None
        self.folders.freeze()
        replies, self.connected = self.connected, []
        world = self._world
        for reply in replies:
            if not world.chance(world.fault_plan.lost):
                _outside(world, world.delay_s(), cut, reply)
        _outside(world, world.random.uniform(0.1, 15), self.start)


class AgentLives:
    """A site's agent, in one life after another."""

    def __init__(self, world: ServiceWorld, name: str) -> None:
        self._world = world
        self.name = name
        self.folders = Folders(world.root, name)
        self.process = Process(name)
        self.kinds: list[str] = []
        """Kinds of the records in the site's journal at the end."""
        self._journals: list[SqlJournal] = []
        # Apart from the world's, so that what a site draws changes nothing else.
        self._randomness = Random(f"{world.seed} {name}")

    def start(self) -> None:
        self.process = process = Process(f"agent {self.name}")
        process.mourners.append(self._mourn)
        self._world.loop.spawn(process, self._live(process), f"agent {self.name}")

    async def _live(self, process: Process) -> None:
        world, name, directory = self._world, self.name, self.folders.now

        def clock() -> datetime:
            return world.clock(name)

        identity = Identity(
            service_fixture().identity(directory), renew_at=0.33, clock=clock, present=lambda _: None
        )
        settings = SiteSettings.model_validate(
            {
                "name": name,
                "federation": "north",
                "aggregator": "https://localhost:1",
                "policy": {"accept": ["demo"], "discloses": {"update": "individual", "at_least": 1}},
                "disk_reserve": 0,
                "worker": {"idle": world.shape.idle},
                **self._secure(),
            }
        )
        context = SiteContext(
            directory=directory,
            settings=settings,
            identity=identity,
            upstream=WeatheredUpstream(world, name, der(identity.credentials), process),
            blobs=FileBlobStore(directory, recycle_from=1),
            journal=SiteJournal(directory, identity.credentials.party, clock, self._open_journal),
            clock=clock,
            retry_policy=Retry(uniform=world.random.random),
            randomness=self._randomness.randbytes,
            worker_process=world.workers,
            cpu_time_of=world.workers.cpu_time_of,
        )
        try:
            await Agent(context).run()
        except HanseError as error:
            world.loop.faults.append(f"the agent of {name} ended: {error!r}")

    def records(self) -> list[Record]:
        """The journal of the site as its disk has it."""
        return self._journals[-1].read(SITE)

    def close(self) -> None:
        """Close the journals of all lives, which no process that died could."""
        self.kinds = [record.kind for record in self.records()] if self._journals else []
        for journal in self._journals:
            journal.close()

    def _secure(self) -> dict[str, Any]:
        """Settings of a site in a cell: the keys of all its peers are checked."""
        if not self._world.shape.secure:
            return {}
        peers = {
            name: SigningKey.load(service_fixture().directory / name / "identity").fingerprint
            for name in self._world.shape.sites
            if name != self.name
        }
        data = {"numbers": str(self._world.data[self.name])}
        return {"secure_aggregation": {"peers": peers}, "data": data}

    def _open_journal(self, path: Path) -> DyingJournal:
        world, process = self._world, self.process
        self._journals.append(SqlJournal(path))
        return DyingJournal(self._journals[-1], lambda place: world.dies(process, place))

    def _mourn(self) -> None:
        self.folders.freeze()
        world = self._world
        away_s = 120.0 if world.chance(world.fault_plan.vanishes) else 5.0
        _outside(world, world.random.uniform(0.1, away_s), self.start)


def _outside(world: ServiceWorld, delay_s: float, action: Any, *arguments: Any) -> None:
    """Have something happen that no process of the federation does."""

    async def happen() -> None:
        await asyncio.sleep(delay_s)
        action(*arguments)

    world.loop.spawn(None, happen(), "fate")


def _unconfined(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
    return Confinement(read=read, write=write)


_KEYS = ("signature", "certificate", "key", "signer", "roster")
"""Fields that follow from keys, which are random."""


def _unsigned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unsigned(v) for k, v in value.items() if k not in _KEYS}
    return value


def drawn_shape(random: Random) -> Shape:
    """A small federation."""
    return Shape(
        sites=SITES[: random.randint(2, 3)],
        rounds=random.randint(1, 2),
        quorum=random.choice([0.5, 1.0]),
        minimum=random.choice([1, 2]),
        grace=random.random() < 0.3,
        evaluate=random.random() < 0.5,
        given=random.random() < 0.5,
        stream=random.random() < 0.25,
    )


def drawn_fault_plan(random: Random) -> FaultPlan:
    """Some faults; processes have more points to die at than around the core."""
    drawn = FaultPlan.drawn(random)
    return FaultPlan(
        lost=drawn.lost,
        duplicated=drawn.duplicated,
        slow_s=drawn.slow_s / 3,
        dies=drawn.dies / 8,
        hangs=drawn.hangs,
        lasts_s=drawn.lasts_s,
        vanishes=drawn.vanishes,
        stops=drawn.stops,
        jumps=drawn.jumps,
    )
