"""Journals of runs to test with, in which everybody has signed what is theirs to sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.blobs import named
from tests.parties import signing_key

from hanse.aggregator.export import JournalExporter
from hanse.core.journal.chain import GENESIS, link
from hanse.core.journal.site_records import JournalHead
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.decide import Command
from hanse.core.run.lifecycle import AnswerPlan, Finish, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.values.identity import Party, Role
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.statements import CertifiedStatement, Statement
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.signatures import sign
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journaled_run import JournaledRun
from hanse.wire.journal_file import JOURNAL_SEAL
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    PLAN_ANSWER_1,
    TASK_RESULT,
    TASK_RESULT_2,
    PlanAnswer,
    TaskOutcome,
    UpdateFile,
)

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
RUN = "heart-1"
MODEL, UPDATE = ModelRef("a" * 64), "c" * 64
LAST_MODEL = b"the model that the run ends with"
SITES = ("budapest", "zurich")
PLAN = Plan.model_validate(
    {
        "name": "heart",
        "code": ["heart.py"],
        "learner": "heart:learner",
        "cohort": {"quorum": 0.5},
        "tasks": {
            "train": {"discloses": {"update": "individual", "metrics": ["loss"]}},
            "evaluate": {"discloses": {"metrics": ["loss"]}},
        },
    }
)
MANIFEST = Manifest(plan=PLAN, files=(CodeFile(path="heart.py", sha256="0" * 64, size=1),))


def new_signing_key() -> SigningKey:
    return SigningKey.create()


Lines = list[dict[str, Any]]


@dataclass
class World:
    """A federation's authority and the parties that it certified."""

    folder: Path
    authority: Authority

    def party(self, name: str, role: Role = Role.COLLABORATOR) -> Credentials:
        key = new_key()
        certificate = self.authority.issue(
            key.public_key(), Party("north", role, name), now=NOW, lifetime=timedelta(days=1)
        )
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        new_signing_key().save(folder)
        return Credentials.save_new(folder, key, pem_of(certificate), pem_of(self.authority.certificate), NOW)


class Author:
    """Writes the journal of a run, in which everybody signs what is theirs to sign.

    Attributes:
        of_before: Whether sites sign with the keys of their certificates, as before 0.2.
        manifest: The plan.
    """

    def __init__(
        self,
        world: World,
        *,
        of_before: bool = False,
        manifest: Manifest | None = None,
        sites: tuple[str, ...] | None = None,
    ) -> None:
        self.of_before = of_before
        self.manifest = manifest or MANIFEST
        sites = sites or SITES
        self.sites = {name: world.party(name) for name in sites}
        self.aggregator = world.party("hub", Role.AGGREGATOR)
        self.journal = MemoryJournal()
        self.journaled_run = JournaledRun(self.journal, RUN)
        self.do(Submit(RUN, self.manifest, self.manifest.digest, "operator", sites))

    def do(self, command: Command) -> None:
        self.journaled_run.execute(command, NOW_MS)

    def accept_plan(self, site: str, accepted: bool = True) -> None:
        body = PlanAnswer(
            federation="north",
            site=site,
            plan_digest=self.manifest.digest,
            accepted=accepted,
            reasons=("by rule",),
            decided_ms=NOW_MS,
            signer=None if self.of_before else self.key(site).fingerprint,
        )
        statement = self.statement(site, body)
        self.do(AnswerPlan(site, accepted, ("by rule",), statement, body.signer))

    def statement(self, site: str, body: PlanAnswer | TaskOutcome) -> Statement:
        """What a site signs."""
        answers = isinstance(body, PlanAnswer)
        if not self.of_before:
            return state(self.key(site), PLAN_ANSWER if answers else TASK_RESULT, body)
        said = body.model_dump(mode="json", exclude={"signer", "roster"})
        signature = sign(self.sites[site], PLAN_ANSWER_1 if answers else TASK_RESULT_2, said)
        return CertifiedStatement(body=said, **signature.model_dump())

    def key(self, site: str) -> SigningKey:
        return signing_key(self.sites[site])

    def outcome(self, site: str, **changes: Any) -> TaskOutcome:
        exchange = self.journaled_run.run.exchanges[self.journaled_run.run.last_exchange]
        said = {
            "federation": "north",
            "site": site,
            "run_id": RUN,
            "plan_digest": self.manifest.digest,
            "exchange": exchange.number,
            "round_number": exchange.round_number,
            "task": exchange.task,
            "model": exchange.model,
            "outcome": "done",
            "num_examples": 5,
            "metrics": {"loss": 0.5},
            "roster": None if exchange.roster is None else exchange.roster.digest,
            "journal": None if self.of_before else JournalHead(generation=0, sequence=1, digest="9" * 64),
        }
        return TaskOutcome.model_validate(said | changes)

    def answer_task(self, site: str, **changes: Any) -> None:
        outcome = self.outcome(site, **changes)
        statement = self.statement(site, outcome)
        if outcome.outcome == "failed":
            self.do(FailTask(outcome.exchange, site, outcome.reason, outcome.log_tail, statement))
            return
        update = None if outcome.update is None else outcome.update.digest
        self.do(
            AcceptResult(
                outcome.exchange,
                site,
                outcome.num_examples,
                outcome.metrics,
                update,
                statement,
                outcome.secure_sum,
            )
        )

    def whole_run(self) -> None:
        for site in SITES:
            self.accept_plan(site)
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        self.do(OpenRound(1))
        self.do(OpenExchange(1, 0, "train", MODEL))
        for site in SITES:
            self.answer_task(site, update=UpdateFile(digest=UPDATE, size=120))
        self.do(RecordAggregate(1, SITES, 10, "e" * 64))
        self.do(OpenExchange(1, 1, "evaluate", ModelRef(named(LAST_MODEL))))
        self.answer_task("budapest")
        self.answer_task("zurich", outcome="failed", reason="out of memory", log_tail="killed")
        self.do(Commit(1, ModelRef(named(LAST_MODEL)), {"loss": 0.5}))
        self.do(Finish())

    def export(self, path: Path) -> Path:
        exports = JournalExporter(self.journal, self.aggregator, path.parent, lambda: NOW_MS)
        return exports.write(RUN).replace(path)


def new_world(folder: Path) -> World:
    """A federation named north, whose authority is as old as the certificates need it."""
    return World(folder, Authority.create("north", NOW - timedelta(days=30), timedelta(days=3650)))


def reseal(lines: Lines, aggregator: Credentials) -> None:
    """Make the chain and the seal anew, as only who holds the aggregator's key can."""
    previous = GENESIS
    for number, line in enumerate(lines[1:-1], start=1):
        record = link(line["stream"], number, line["time_ms"], line["kind"], line["body"], previous)
        lines[number], previous = record.as_json(), record.digest
    head = {"run_id": RUN, "records": len(lines) - 2, "head": previous, "sealed_ms": NOW_MS}
    lines[-1] = {"seal": head, "signature": sign(aggregator, JOURNAL_SEAL, head).model_dump()}
