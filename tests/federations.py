"""A federation to test the aggregator with: the real service on a directory, and sites that answer it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tests.parties import der, new_authority

from hanse.aggregator import worker as run_worker
from hanse.aggregator.controller import RunController
from hanse.aggregator.registry import Lifetimes, Registry
from hanse.aggregator.service import AggregatorService, Options
from hanse.core.canonical import sha256
from hanse.core.commands import Commit, OpenExchange, OpenRound
from hanse.core.events import Event, SignedStatement, read_event
from hanse.core.identity import Party, Role
from hanse.core.parameters import Parameters
from hanse.core.plan import INITIALISE, CodeFile, Manifest, Plan
from hanse.core.run import TERMINAL, Phase, Run
from hanse.errors import LateResultError, StorageError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.keys import new_key
from hanse.pki.signatures import sign
from hanse.sandbox.async_channel import AsyncChannel
from hanse.sandbox.channel import Channel
from hanse.sandbox.confine import Confined, Confinement
from hanse.sandbox.process import WorkerSpec
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal
from hanse.transport.memory import MemoryUpstream
from hanse.wire.messages import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    Assignment,
    NextRequest,
    PlanAnswer,
    ResultReply,
    ResultRequest,
    RunWork,
    SubmitRequest,
    TaskOutcome,
    UpdateFile,
)
from hanse.wire.tensors import decode, encode

MODEL = {"w": np.zeros(3, np.float32)}
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
INDIVIDUAL = {"update": "individual", "metrics": ["loss"]}
TASKS = {"train": {"discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}
CODE = b"def learner(site): ...\n"


def now() -> datetime:
    return datetime.now(UTC)


def unconfined(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
    return Confinement(read=read, write=write)


class Grounds:
    """A directory with a federation in it, of which the service can be opened again and again.

    Attributes:
        options: Of every service that is opened from now on.
        service: The one that was opened last.
        credentials: Of the sites, by name.
    """

    identity: Credentials
    operator: Party

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.authority = authority
        self.options = Options(
            directory=directory, url="https://localhost:1", max_blob=10**6, disk_reserve=0, worker=unconfined
        )
        self.credentials: dict[str, Credentials] = {}

    @classmethod
    def new(cls, directory: Path, sites: str = "abc") -> Grounds:
        """A federation of these sites, and an operator; it is closed."""
        grounds = cls(directory, new_authority())
        key, authority = new_key(), grounds.authority
        certificate = authority.issue(
            key.public_key(),
            Party("north", Role.AGGREGATOR, "hub"),
            now=now(),
            lifetime=timedelta(1),
            hosts=("localhost",),
        )
        grounds.identity = Credentials.save_new(
            directory / "identity", key, pem_of(certificate), pem_of(authority.certificate), now()
        )
        grounds.open()
        grounds.credentials = {name: grounds.enrolled(name) for name in sites}
        grounds.operator = grounds.enrolled("operator", Role.OPERATOR).party
        grounds.journal.close()
        return grounds

    def copied(self, directory: Path) -> Grounds:
        """The same federation in another directory, opened; making one takes a while."""
        shutil.copytree(self.directory, directory)
        grounds = Grounds(directory, self.authority)
        grounds.identity, grounds.operator = self.identity, self.operator
        grounds.credentials = dict(self.credentials)
        grounds.open()
        return grounds

    def open(self) -> AggregatorService:
        self.journal = SqlJournal(self.directory / "journal.db")
        self.blobs = FileBlobStore(self.directory)
        self.registry = Registry(self.journal, self.authority, lifetimes=Lifetimes(), clock=now)
        self.service = AggregatorService(
            self.options, self.identity, self.registry, self.journal, self.blobs, now, lambda: "0" * 32
        )
        return self.service

    async def close(self) -> None:
        await self.service.close()
        self.journal.close()

    async def restart(self) -> AggregatorService:
        await self.close()
        service = self.open()
        await service.start()
        return service

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[AggregatorService]:
        await self.service.start()
        try:
            yield self.service
        finally:
            await self.close()

    # ------------------------------------------------------------ parties

    def enrolled(self, name: str, role: Role = Role.COLLABORATOR) -> Credentials:
        """Let a party join."""
        key = new_key()
        party = Party("north", role, name)
        _, issued = self.registry.sign(name, role, request_certificate(key, party))
        place = Path(tempfile.mkdtemp(dir=self.directory))
        return Credentials.save_new(place, key, issued.certificate, issued.authority, now())

    def party(self, name: str) -> Party:
        return self.credentials[name].party

    def upstream(self, name: str) -> MemoryUpstream:
        return MemoryUpstream(self.service, der(self.credentials[name]))

    # --------------------------------------------------------------- runs

    def manifest(
        self, code: bytes = CODE, path: str = "heart.py", initial: Parameters | None = None, **changes: Any
    ) -> Manifest:
        """A plan, uploaded with its one file of code and the model that it starts from."""
        settings: dict[str, Any] = {
            "name": "demo",
            "code": [path],
            "learner": f"{path.removesuffix('.py')}:learner",
            "rounds": 2,
            "tasks": TASKS,
            **({} if initial is None else {"initial_model": "first.safetensors"}),
        }
        files = (CodeFile(path=path, sha256=self.blobs.put(code), size=len(code)),)
        first = None
        if initial is not None:
            data = encode(initial)
            first = CodeFile(path="first.safetensors", sha256=self.blobs.put(data), size=len(data))
        return Manifest(plan=Plan.model_validate(settings | changes), files=files, initial_model=first)

    async def submit(self, **changes: Any) -> str:
        """Begin a run; its id."""
        digest = self.blobs.put(self.manifest(**changes).to_bytes())
        return (await self.service.submit(self.operator, SubmitRequest(plan_digest=digest))).run_id

    def controller(self, run_id: str) -> RunController:
        return self.service._keeper.find(run_id)

    def run(self, run_id: str) -> Run:
        return self.controller(run_id).run

    def events(self, run_id: str) -> list[Event]:
        return [read_event(record.kind, record.body) for record in self.journal.read(run_id)]

    async def accepted(self, run_id: str) -> None:
        """Have every site accept the plan."""
        for name in self.credentials:
            await self.answer(run_id, name)

    async def answer(
        self, run_id: str, name: str, *, accepted: bool = True, reasons: tuple[str, ...] = ("a test",)
    ) -> None:
        body = PlanAnswer(
            federation="north",
            site=name,
            plan_digest=self.run(run_id).plan_digest,
            accepted=accepted,
            reasons=reasons,
            decided_ms=0,
        )
        statement = signed(self.credentials[name], PLAN_ANSWER, body.model_dump(mode="json"))
        await self.service.answer(self.party(name), AnswerRequest(run_id=run_id, statement=statement))

    async def asked(self, task: str = "train", **changes: Any) -> str:
        """A run in which every site is asked a task of round 1; its id. No worker is needed."""
        run_id = await self.submit(**{"initial": MODEL, **changes})
        await self.accepted(run_id)
        await self.ask(run_id, task)
        return run_id

    async def ask(self, run_id: str, task: str = "train", round_number: int = 1) -> None:
        """Ask a task as a workflow would that has the initial model."""
        run, controller = self.run(run_id), self.controller(run_id)
        assert run.manifest.initial_model is not None
        model = run.manifest.initial_model.sha256
        if run.committed < 0:
            await controller.execute(Commit(0, model))
        await controller.execute(OpenRound(round_number))
        await controller.execute(OpenExchange(round_number, len(self.run(run_id).in_round()), task, model))

    # ------------------------------------------------------------ results

    def bring(self, name: str, update: Parameters | bytes) -> UpdateFile:
        """Upload an update as a site does."""
        data = update if isinstance(update, bytes) else encode(update)
        opened = self.service.blob_to_take(self.party(name), sha256(data), len(data))
        if opened is not None:
            writer = opened()
            writer.write(data)
            writer.commit()
            writer.close()
        return UpdateFile(sha256=sha256(data), size=len(data))

    def outcome(self, run_id: str, name: str, **changes: Any) -> TaskOutcome:
        """What a site says of the last exchange of a run, true unless changed."""
        run = self.run(run_id)
        exchange = run.exchanges[run.last_exchange]
        said: dict[str, Any] = {
            "federation": "north",
            "site": name,
            "run_id": run_id,
            "plan_digest": run.plan_digest,
            "exchange": exchange.number,
            "round_number": exchange.round_number,
            "task": exchange.task,
            "model": exchange.model,
            "outcome": "done",
            "num_examples": 10,
        }
        return TaskOutcome.model_validate(said | changes)

    async def hand_in(self, outcome: TaskOutcome, *, sender: str = "", signer: str = "") -> ResultReply:
        """Send an outcome to the service, signed by its site unless another one does."""
        credentials = self.credentials[signer or outcome.site]
        statement = signed(credentials, TASK_RESULT, outcome.model_dump(mode="json"))
        return await self.service.result(
            self.party(sender or outcome.site), ResultRequest(statement=statement)
        )

    async def answered(self, run_id: str, name: str, value: float = 1.0, **changes: Any) -> ResultReply:
        """Have a site send its update, the same value everywhere."""
        update = self.bring(name, {"w": np.full(3, value, np.float32)})
        return await self.hand_in(self.outcome(run_id, name, update=update, **changes))


def signed(credentials: Credentials, purpose: str, body: dict[str, Any]) -> SignedStatement:
    signature = sign(credentials, purpose, body)
    return SignedStatement(body=body, certificate=signature.certificate, signature=signature.signature)


class FakeSite:
    """Answers everything that it is asked, as an agent would: `w` grows by `step` a round.

    Attributes:
        performed: Tasks that it performed, each with its run, exchange and name.
        accepted: Runs and exchanges for which its result was taken.
        asked_again: Those for which it was asked once more after that.
        before_result: Called when a task was performed and before its result is sent.
        pause_s: How long a task takes.
    """

    def __init__(self, grounds: Grounds, name: str, step: float) -> None:
        self.name = name
        self.performed: list[tuple[str, int, str]] = []
        self.accepted: set[tuple[str, int]] = set()
        self.asked_again: list[tuple[str, int]] = []
        self.before_result: Callable[[int], None] = lambda exchange: None
        self.pause_s = 0.0
        self._grounds = grounds
        self._step = step

    async def serve(self) -> None:
        """Do what is asked until cancelled, through restarts of the service."""
        known = ""
        while True:
            try:
                work = await self._grounds.upstream(self.name).next(NextRequest(known=known, wait_s=0.2))
                for run in work.runs:
                    await self._see_to(run)
                known = work.version
            except StorageError:  # the service is being restarted
                await asyncio.sleep(0.02)

    async def _see_to(self, run: RunWork) -> None:
        if run.review:
            await self._grounds.answer(run.run_id, self.name)
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
        statement = signed(self._grounds.credentials[self.name], TASK_RESULT, body)
        while (run.run_id, asked.exchange) not in self.accepted:
            upstream = self._grounds.upstream(self.name)
            try:
                if update is not None:
                    await upstream.deliver(sha256(update.read_bytes()), update)
                await upstream.result(ResultRequest(statement=statement))
                self.accepted.add((run.run_id, asked.exchange))
            except StorageError:
                await asyncio.sleep(0.02)
            except LateResultError:
                return

    async def _perform(self, run: RunWork, asked: Assignment) -> tuple[TaskOutcome, Path | None]:
        model = MODEL if asked.model is None else await self._model(asked.model)
        size = round(self._step * 10)
        said: dict[str, Any] = {"metrics": {"loss": float(np.mean(model["w"])) + self._step}}
        tensors: Parameters | None = {"w": model["w"] * np.float32(0.5) + np.float32(self._step)}
        if asked.task == INITIALISE:
            said, tensors = {}, MODEL
        elif asked.task == "evaluate":
            tensors = None
        update = None
        if tensors is not None:
            update = self._grounds.directory / f"{self.name}.safetensors"
            update.write_bytes(encode(tensors))
            data = update.read_bytes()
            said["update"] = UpdateFile(sha256=sha256(data), size=len(data))
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
            **said,
        )
        return outcome, update

    async def _model(self, digest: str) -> dict[str, Any]:
        path = self._grounds.service.blob_to_send(self._grounds.party(self.name), digest)
        return decode(path.read_bytes())


@asynccontextmanager
async def fake_sites(grounds: Grounds) -> AsyncIterator[dict[str, FakeSite]]:
    """All sites of a federation, answering as long as the block lasts."""
    sites = {
        name: FakeSite(grounds, name, step=place + 1.0)
        for place, name in enumerate(sorted(grounds.credentials))
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


async def until_phase(grounds: Grounds, run_id: str, *phases: Phase) -> Run:
    """Wait until a run is in one of these phases, through restarts of the service."""
    await until(lambda: grounds.run(run_id).phase in phases)
    return grounds.run(run_id)


class ThreadWorker:
    """In place of a worker process: the run worker's `main`, on a thread, over a real channel."""

    started: list[ThreadWorker]
    """All that were started in this test."""
    layers = Confined((), files=False, network=False, processes=False, gaps=())

    def __init__(self, ours: AsyncChannel, theirs: socket.socket, spec: WorkerSpec) -> None:
        self.channel = ours
        self.confined = self.layers
        self._theirs = theirs
        self._killed = False
        self._thread = threading.Thread(target=self._live, args=(spec.arguments,))
        self._thread.start()

    @classmethod
    async def start(cls, spec: WorkerSpec) -> ThreadWorker:
        ours, theirs = socket.socketpair()
        worker = cls(await AsyncChannel.over(ours), theirs, spec)
        cls.started.append(worker)
        return worker

    def _live(self, arguments: tuple[str, ...]) -> None:
        try:
            run_worker.main(Channel(self._theirs.fileno()), self.confined, arguments)
        finally:
            self._hang_up()

    def kill(self) -> None:
        """End it at once, as it seems to the service."""
        self._killed = True
        self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError):  # the service did so first
            self._theirs.shutdown(socket.SHUT_RDWR)

    async def stop(self, grace_s: float = 5.0) -> str:
        self.channel.close()
        await asyncio.to_thread(self._thread.join)
        self._theirs.close()
        return "was killed by SIGKILL" if self._killed else "ended"

    def log_tail(self, lines: int = 20) -> str:
        return ""


class IdleSupervisor:
    """In place of a supervisor: the run has its clock, and no workflow."""

    def __init__(self, controller: RunController, workshop: object) -> None:
        self._controller = controller

    async def supervise(self) -> None:
        clock = asyncio.create_task(self._controller.keep_time())
        try:
            await self._controller.in_phase(*TERMINAL)
        finally:
            clock.cancel()
