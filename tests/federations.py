"""A federation to test the aggregator with: the real service on a directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from tests.blobs import named, put
from tests.in_memory_transport import MemoryUpstream
from tests.parties import der, new_authority, signing_key

from hanse.aggregator.members.member_registry import CertificateLifetimes, MemberRegistry
from hanse.aggregator.options import Options
from hanse.aggregator.run.controller import RunController
from hanse.aggregator.service import AggregatorService
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.events import Event, read_event
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.run.run import Run
from hanse.core.values.identity import Party, Role
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.peer import Peer
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.sandbox.confine import Confinement
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_sql import SqlJournal
from hanse.wire.messages.runs import SubmitRequest
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    PlanAnswer,
    ResultReply,
    ResultRequest,
    TaskOutcome,
    UpdateFile,
)
from hanse.wire.tensors import encode

MODEL = {"w": np.zeros(3, np.float32)}
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
INDIVIDUAL = {"update": "individual", "metrics": ["loss"]}
TASKS = {"train": {"discloses": AGGREGATE}, "evaluate": {"discloses": {"metrics": ["loss"]}}}
CODE = b"def learner(site): ...\n"


def now() -> datetime:
    return datetime.now(UTC)


A_HEAD = {"generation": 0, "sequence": 2, "digest": "0" * 64}
"""A record of the journal of a site that keeps none, because a test speaks for it."""


def unconfined(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
    return Confinement(read=read, write=write)


class FederationFixture:
    """A directory with a federation in it, of which the service can be opened again and again.

    Attributes:
        options: Of every service that is opened from now on.
        service: The one that was opened last.
        credentials: Of the sites, by name.
    """

    identity: Credentials
    operator: Peer
    operator_credentials: Credentials

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory = directory
        self.authority = authority
        self.options = Options(
            directory=directory, url="https://localhost:1", max_blob=10**6, disk_reserve=0, worker=unconfined
        )
        self.credentials: dict[str, Credentials] = {}
        self.clock = now

    @classmethod
    def new(cls, directory: Path, sites: str = "abc") -> FederationFixture:
        """A federation of these sites, and an operator; it is closed."""
        fixture = cls(directory, new_authority())
        key, authority = new_key(), fixture.authority
        certificate = authority.issue(
            key.public_key(),
            Party("north", Role.AGGREGATOR, "hub"),
            now=now(),
            lifetime=timedelta(1),
            hosts=("localhost",),
        )
        fixture.identity = Credentials.save_new(
            directory / "identity", key, pem_of(certificate), pem_of(authority.certificate), now()
        )
        fixture.open()
        fixture.credentials = {name: fixture.enrolled(name) for name in sites}
        fixture.operator_credentials = fixture.enrolled("operator", Role.OPERATOR)
        fixture.operator = peer_of(fixture.operator_credentials.certificate)
        fixture.journal.close()
        return fixture

    def copied(self, directory: Path) -> FederationFixture:
        """The same federation in another directory, opened; making one takes a while."""
        shutil.copytree(self.directory, directory)
        fixture = FederationFixture(directory, self.authority)
        fixture.identity, fixture.operator = self.identity, self.operator
        fixture.operator_credentials = self.operator_credentials
        fixture.credentials = dict(self.credentials)
        fixture.open()
        return fixture

    def reopen(self, **options: Any) -> AggregatorService:
        """Open the service anew, which has not started yet, with other options."""
        self.journal.close()
        self.options = replace(self.options, **options)
        return self.open()

    def open(self) -> AggregatorService:
        self.journal = SqlJournal(self.directory / "journal.db")
        self.blobs = FileBlobStore(self.directory)
        self.registry = MemberRegistry(
            self.journal, self.authority, lifetimes=CertificateLifetimes(), clock=self.clock
        )
        self.service = AggregatorService(
            *(self.options, self.identity, self.registry, self.journal, self.blobs),
            *(lambda: self.clock(), lambda: "0" * 32),
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
        key, signing = new_key(), SigningKey.create()
        party = Party("north", role, name)
        enrolment = enrolment_of(signing, party)
        _, issued = self.registry.sign(name, role, request_certificate(key, party), enrolment)
        place = Path(tempfile.mkdtemp(dir=self.directory))
        signing.save(place)
        return Credentials.save_new(place, key, issued.certificate, issued.authority, now())

    def party(self, name: str) -> Party:
        return self.credentials[name].party

    def peer(self, name: str) -> Peer:
        """A site as the service knows it once it was admitted."""
        return peer_of(self.credentials[name].certificate)

    def upstream(self, name: str) -> MemoryUpstream:
        return MemoryUpstream(self.service, der(self.credentials[name]))

    # --------------------------------------------------------------- runs

    def manifest(
        self,
        code: bytes = CODE,
        path: str = "heart.py",
        initial: Parameters | None = None,
        others: Mapping[str, bytes] = MappingProxyType({}),
        **changes: Any,
    ) -> Manifest:
        """A plan, uploaded with its file of code, other files, and the model that it starts from."""
        settings: dict[str, Any] = {
            "name": "demo",
            "code": [path, *others],
            "learner": f"{path.removesuffix('.py')}:learner",
            "rounds": 2,
            "tasks": TASKS,
            **({} if initial is None else {"initial_model": "first.safetensors"}),
        }
        files = tuple(
            CodeFile(path=name, sha256=put(self.blobs, data), size=len(data))
            for name, data in {path: code, **others}.items()
        )
        first = None
        if initial is not None:
            data = encode(initial)
            first = CodeFile(path="first.safetensors", sha256=put(self.blobs, data), size=len(data))
        return Manifest(plan=Plan.model_validate(settings | changes), files=files, initial_model=first)

    async def submit(self, **changes: Any) -> str:
        """Begin a run; its id."""
        digest = put(self.blobs, self.manifest(**changes).to_bytes())
        return (
            await self.service.run_requests.submit(self.operator, SubmitRequest(plan_digest=digest))
        ).run_id

    def controller(self, run_id: str) -> RunController:
        return self.service._run_registry.find(run_id)

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
            signer=signing_key(self.credentials[name]).fingerprint,
        )
        statement = signed(self.credentials[name], PLAN_ANSWER, body.model_dump(mode="json"))
        await self.service.site_requests.answer(
            self.peer(name), AnswerRequest(run_id=run_id, statement=statement)
        )

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
        model = ModelRef(run.manifest.initial_model.sha256)
        if run.committed < 0:
            await controller.execute(Commit(0, model))
        await controller.execute(OpenRound(round_number))
        await controller.execute(OpenExchange(round_number, len(self.run(run_id).in_round()), task, model))

    # ------------------------------------------------------------ results

    def bring(self, name: str, update: Parameters | bytes) -> UpdateFile:
        """Upload an update as a site does."""
        data = update if isinstance(update, bytes) else encode(update)
        opened = self.service.blob_requests.blob_to_take(self.peer(name), named(data), len(data))
        if opened is not None:
            writer = opened()
            writer.write(data)
            writer.commit()
            writer.close()
        return UpdateFile(digest=named(data), size=len(data))

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
            "journal": A_HEAD,
            "roster": None if exchange.roster is None else exchange.roster.digest,
        }
        return TaskOutcome.model_validate(said | changes)

    async def hand_in(
        self,
        outcome: TaskOutcome,
        *,
        sender: str = "",
        signer: str = "",
        receipt: CertifiedStatement | None = None,
        say: Callable[[dict[str, Any]], str] | None = None,
    ) -> ResultReply:
        """Send an outcome to the service, signed by its site unless another one does."""
        credentials = self.credentials[signer or outcome.site]
        statement = signed(credentials, TASK_RESULT, outcome.model_dump(mode="json"))
        return await self.service.site_requests.result(
            self.peer(sender or outcome.site),
            ResultRequest(
                statement=statement, spoken=None if say is None else say(statement.body), receipt=receipt
            ),
        )

    async def answered(
        self,
        run_id: str,
        name: str,
        value: float = 1.0,
        *,
        receipt: CertifiedStatement | None = None,
        say: Callable[[dict[str, Any]], str] | None = None,
        **changes: Any,
    ) -> ResultReply:
        """Have a site send its update, the same value everywhere."""
        update = self.bring(name, {"w": np.full(3, value, np.float32)})
        outcome = self.outcome(run_id, name, update=update, **changes)
        return await self.hand_in(outcome, receipt=receipt, say=say)


def signed(credentials: Credentials, purpose: str, body: dict[str, Any]) -> SignedStatement:
    return signing_key(credentials).sign(purpose, body)
