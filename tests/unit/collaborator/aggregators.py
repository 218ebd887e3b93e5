"""An aggregator in memory, and plans for it to ask about."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from tests.blobs import put
from tests.parties import DAY, NOW, enrolled, signing_key
from tests.receipts import Signer, head

from hanse.collaborator.context import SiteContext
from hanse.collaborator.evidence.site_evidence import SiteEvidence
from hanse.collaborator.identity import Identity
from hanse.collaborator.receipts.keeper import ReceiptKeeper
from hanse.collaborator.review import Reviewer
from hanse.collaborator.site_journal import SiteJournal
from hanse.collaborator.tasks import Tasks
from hanse.config.settings import SiteSettings
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.receipts import read_receipt
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.core.values.roster import Roster, RosterProof
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import read_csr
from hanse.pki.key_statements import check_enrolment, check_rotation
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey, verify_statement
from hanse.storage.base import BlobStore
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.base import Upstream
from hanse.transport.client.retry import Retry
from hanse.wire.messages.basics import Hello
from hanse.wire.messages.evidence import AttestReply, AttestRequest
from hanse.wire.messages.members import (
    Certificates,
    PeerKey,
    PeerKeys,
    PeersQuery,
    RenewRequest,
    SigningKeyReply,
    SigningKeyRequest,
)
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    Assignment,
    JournalHeadReply,
    JournalHeadRequest,
    NextRequest,
    PlanAnswer,
    ProgressRequest,
    ReceiptsReply,
    ReceiptsRequest,
    ResultReply,
    ResultRequest,
    RunWork,
    TaskOutcome,
    Work,
)
from hanse.wire.tensors import decode, encode

SITE = Party("north", Role.COLLABORATOR, "hospital-a")
MODEL = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(3)}

LEARNER = """
import numpy as np
import hanse

class Adder:
    def __init__(self, site):
        self.site = site

    def parameters(self):
        return {"weight": np.zeros((2, 3), np.float32), "steps": np.array(0)}

    def train(self, parameters, task):
        trained = {name: array + 1 for name, array in parameters.items()}
        return hanse.TaskResult(10, {"loss": 0.5}, trained)

    def evaluate(self, parameters, task):
        return hanse.TaskResult(4, {"accuracy": float(parameters["weight"].mean())})

def learner(site):
    return Adder(site)
"""

TRAIN = {"discloses": {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}}
EVALUATE = {"discloses": {"metrics": ["accuracy"]}}


def manifest_of(source: str = LEARNER, /, **plan: Any) -> Manifest:
    """A plan of one file of code."""
    told = {
        "name": "demo",
        "code": ("federation.py",),
        "learner": "federation:learner",
        "rounds": 5,
        "cohort": {"minimum": 3},
        "tasks": {"train": TRAIN, "evaluate": EVALUATE},
    }
    data = source.encode()
    checked = Plan.model_validate(told | plan)
    file = CodeFile(path=checked.code[0], sha256=sha256(data), size=len(data))
    return Manifest(plan=checked, files=(file,))


@dataclass
class FakeUpstream(Upstream):
    """Asks what a test has it ask, checks signatures, and keeps what comes.

    Attributes:
        blobs: What may be fetched, by digest.
        delivered: What was delivered, by digest.
        failing: Errors to raise, by method, each once.
        heard: What it answers an agent that states the head of its journal.
        stated: What such agents stated.
        signer: Signs its receipts.
        shown: What agents showed that connected.
        waits: How long each question for work was to wait, seconds.
        receipts_given: Every receipt of an outcome that it gave.
        requests: What came with the outcomes.
        forge: Changes a receipt before it is given.
        restored: The acknowledgement of a restore that it shows.
        record: The record of a restore that it names with the work.
        recorded: Fingerprint of the signing key that is recorded for the site; None for none.
        rosters: What it has of each roster, by the digest that is asked for.
        peer_keys: Sites that it lists with their signing keys.
        prompt: Whether a task is taken off what is wanted before its result is replied to, as an
            aggregator does; else a test does it.
    """

    authority: Authority
    signer: Signer = field(init=False)
    shown: list[tuple[CertifiedStatement, ...]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    receipts_given: list[CertifiedStatement] = field(default_factory=list)
    requests: list[ResultRequest] = field(default_factory=list)
    forge: Callable[[CertifiedStatement], CertifiedStatement] = lambda receipt: receipt
    restored: CertifiedStatement | None = None
    peer_keys: tuple[PeerKey, ...] = ()
    record: ChainHead | None = None
    blobs: dict[str, bytes] = field(default_factory=dict)
    delivered: dict[str, bytes] = field(default_factory=dict)
    answers: list[PlanAnswer] = field(default_factory=list)
    outcomes: list[TaskOutcome] = field(default_factory=list)
    progressed: list[int] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    failing: defaultdict[str, list[Exception]] = field(default_factory=lambda: defaultdict(list))
    federation: str = "north"
    heard: JournalHeadReply = field(default_factory=JournalHeadReply)
    stated: list[JournalHeadRequest] = field(default_factory=list)
    recorded: str | None = None
    rosters: dict[str, Roster] = field(default_factory=dict)
    prompt: bool = True
    closed: bool = False
    renewed: int = 0
    _work: Work = field(default_factory=lambda: Work(version="0"))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.signer = Signer(self.authority, NOW)

    def add(self, data: bytes) -> str:
        self.blobs[sha256(data)] = data
        return sha256(data)

    def want(self, *runs: RunWork) -> None:
        """From now on, this is wanted of the site."""
        self._work = Work(version=str(int(self._work.version) + 1), runs=runs, restored=self.record)
        self._changed.set()
        self._changed = asyncio.Event()

    def fail(self, method: str, *errors: Exception) -> None:
        """Have the next calls of a method raise."""
        self.failing[method] += errors

    def update(self, outcome: TaskOutcome) -> Mapping[str, Any]:
        assert outcome.update is not None
        return decode(self.delivered[outcome.update.digest])

    async def hello(self) -> Hello:
        self._meet("hello")
        return Hello(version="1", federation=self.federation, time_ms=round(NOW.timestamp() * 1000))

    async def next(self, request: NextRequest) -> Work:
        self.waits.append(request.wait_s)
        while request.known == self._work.version:
            self._meet("next")
            await self._changed.wait()
        self._meet("next")
        return self._work

    async def answer(self, request: AnswerRequest) -> None:
        self._meet("answer")
        self._verify(PLAN_ANSWER, request.statement)
        self.answers.append(PlanAnswer.model_validate(request.statement.body))

    async def result(self, request: ResultRequest) -> ResultReply:
        self._meet("result")
        self._verify(TASK_RESULT, request.statement)
        outcome = TaskOutcome.model_validate(request.statement.body)
        self.outcomes.append(outcome)
        self.requests.append(request)
        receipt = self.forge(self.receipt(request))
        self.receipts_given.append(receipt)
        if self.prompt:
            await self._take_off(outcome.run_id, outcome.exchange)
        return ResultReply(receipt=receipt)

    def receipt(self, request: ResultRequest, **changes: Any) -> CertifiedStatement:
        """The receipt of an outcome as an honest aggregator gives it."""
        shown = None if request.receipt is None else read_receipt(request.receipt.body).received
        body = request.statement.body
        known = None if shown is None or shown.run_id != body["run_id"] else shown.journal
        journal = head(10 + 2 * len(self.outcomes))
        return self.signer.of_outcome(body, journal, known, **changes)

    async def progress(self, request: ProgressRequest) -> None:
        self._meet("progress")
        self.progressed.append(request.exchange)

    async def attest(self, request: AttestRequest) -> AttestReply:
        self._meet("attest")
        raise AssertionError("no test that asks for evidence uses this aggregator")

    async def journal_head(self, request: JournalHeadRequest) -> JournalHeadReply:
        self._meet("journal_head")
        self.stated.append(request)
        return self.heard if request.proof else JournalHeadReply(heard=self.heard.heard)

    async def receipts(self, request: ReceiptsRequest) -> ReceiptsReply:
        self._meet("receipts")
        self.shown.append(request.receipts)
        return ReceiptsReply(receipt=self.forge(self.signer.receipt()), restored=self.restored)

    async def signing_key(self) -> SigningKeyReply:
        self._meet("signing_key")
        return SigningKeyReply(fingerprint=self.recorded)

    async def peers(self, query: PeersQuery) -> PeerKeys:
        self._meet("peers")
        return PeerKeys(peers=self.peer_keys)

    async def record_signing_key(self, request: SigningKeyRequest) -> SigningKeyReply:
        self._meet("record_signing_key")
        key = check_enrolment(request.enrolment, SITE)
        if self.recorded not in (None, key):
            assert request.rotation is not None
            assert check_rotation(request.rotation, SITE) == (self.recorded, key)
        self.recorded = key
        self._meet("record_signing_key reply")
        return SigningKeyReply(fingerprint=self.recorded)

    async def roster(self, digest: str) -> RosterProof:
        self._meet("roster")
        found = self.rosters[digest]
        return found.proof("hospital-a" if "hospital-a" in found else next(iter(found)))

    def add_roster(self, roster: Roster) -> str:
        self.rosters[roster.digest] = roster
        return roster.digest

    async def renew(self, request: RenewRequest) -> Certificates:
        self._meet("renew")
        self.renewed += 1
        certificate = self.authority.issue(read_csr(request.csr), SITE, now=NOW, lifetime=DAY)
        return Certificates(certificate=pem_of(certificate), authority=pem_of(self.authority.certificate))

    async def fetch(self, digest: str, blobs: BlobStore, *, owner: str, max_bytes: int) -> Path:
        self._meet("fetch")
        self.fetched.append(digest)
        assert len(self.blobs[digest]) <= max_bytes
        return blobs.path(put(blobs, self.blobs[digest]))

    async def deliver(self, digest: str, path: Path) -> None:
        self._meet("deliver")
        self.delivered[digest] = path.read_bytes()

    async def close(self) -> None:
        self.closed = True

    async def _take_off(self, run_id: str, exchange: int) -> None:
        """Want a task no more; who waits for work learns it before the reply is there."""
        runs = []
        for run in self._work.runs:
            left = [asked for asked in run.assignments if (run.run_id, asked.exchange) != (run_id, exchange)]
            runs.append(run.model_copy(update={"assignments": tuple(left)}))
        if tuple(runs) != self._work.runs:
            self.want(*runs)
            await asyncio.sleep(0.05)

    def _meet(self, method: str) -> None:
        if self.failing[method]:
            raise self.failing[method].pop(0)

    def _verify(self, purpose: str, statement: SignedStatement) -> None:
        assert verify_statement(statement, purpose) == self.recorded


@dataclass
class Site:
    """A site that joined, with an aggregator to talk to."""

    directory: Path
    upstream: FakeUpstream
    credentials: Credentials
    shown: list[Credentials] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: NOW
    opened: list[SiteJournal] = field(default_factory=list)

    def context(self, **settings: Any) -> SiteContext:
        """The site with these settings, as an agent that starts finds it."""
        told = {
            "name": "hospital-a",
            "federation": "north",
            "aggregator": "https://aggregator.example.org",
            "policy": {"accept": ["demo"]},
            "disk_reserve": 0,
        }
        pki = self.directory / "pki"
        identity = Identity(
            Credentials.load(pki, NOW),
            renew_at=0.33,
            clock=self.clock,
            present=self.shown.append,
            signing_key=SigningKey.load(pki) if (pki / SIGNING_KEY_FILE).exists() else None,
        )
        return SiteContext(
            directory=self.directory,
            settings=SiteSettings.model_validate(told | settings),
            identity=identity,
            upstream=self.upstream,
            blobs=FileBlobStore(self.directory / "blobs"),
            journal=self.journal(),
            clock=self.clock,
            retry_policy=Retry(sleep=lambda _: asyncio.sleep(0)),
        )

    def journal(self) -> SiteJournal:
        """The journal in the site's folder; it is closed with the test."""
        journal = SiteJournal(self.directory, self.credentials.party, self.clock)
        self.opened.append(journal)
        return journal

    def publish(self, manifest: Manifest, code: str = LEARNER) -> RunWork:
        """Upload a plan, and ask the site about it."""
        self.upstream.add(code.encode())
        digest = self.upstream.add(manifest.to_bytes())
        return RunWork(
            run_id="demo-1",
            plan_digest=digest,
            plan_bytes=len(manifest.to_bytes()),
            review=True,
            progress_s=0.05,
        )

    def roster(self) -> str:
        """The digest of a roster of three sites, this one among them, which can be fetched."""
        key = signing_key(self.credentials).fingerprint
        return self.upstream.add_roster(Roster({"berlin": "0" * 64, "hospital-a": key, "oslo": "1" * 64}))

    def assignment(self, task: str = "train", exchange: int = 1, **told: Any) -> Assignment:
        """A task on `MODEL`, which can be fetched; each exchange is that of a round."""
        data = encode(MODEL)
        given = {"model": self.upstream.add(data), "model_bytes": len(data), "roster": self.roster()}
        return Assignment.model_validate(
            {
                "exchange": exchange,
                "round_number": exchange,
                "task": task,
                "max_update_bytes": len(data) if task != "evaluate" else 0,
                "deadline_ms": 1,
                **given,
                **told,
            }
        )


def joined(directory: Path, authority: Authority) -> Site:
    """A site that has its certificate, for a day."""
    credentials = enrolled(authority, directory / "joining")
    pki = directory / "pki"
    credentials.directory.rename(pki)
    site = Site(directory, FakeUpstream(authority), Credentials.load(pki, NOW))
    site.upstream.recorded = SigningKey.load(pki).fingerprint
    return site


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for something that the code under test does by itself."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def tasks_of(context: SiteContext, workers: Any) -> Tasks:
    """The part of an agent that sees to tasks."""
    reviewer = Reviewer(context)
    return Tasks(context, reviewer, workers, ReceiptKeeper(context), SiteEvidence(context, reviewer))
