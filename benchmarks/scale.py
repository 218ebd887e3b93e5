"""Cost of a round by the number of sites: what a site costs at 10,000 sites, beside at 100.

    python benchmarks/scale.py                          all three parts, some minutes
    python benchmarks/scale.py --part state simulate    some of them
    python benchmarks/scale.py --sites 100 1000         other numbers of sites

Three parts, none of which needs a network:

`state`     The state machine on a journal in memory: each site starts its task and answers.
`simulate`  A plan with a learner that computes nothing, at virtual sites that ask for their share
            of 60,000 examples, dealt out by Dirichlet's distribution in the first round.
`service`   The aggregator's service with its journal and blobs on disk and a real run worker, and
            sites in its process: work, progress, upload, signed result. At 10,000 sites it takes minutes.

Time is processor time of this process, since machines are shared. A round is the mean of many rounds
of few sites or some rounds of many, so that each has its part of what Python's garbage collector costs;
the numbers of sites take turns, and the better turn counts. The last line of each part is the ratio
of the cost a site at the largest number of sites to that at the smallest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from hanse.aggregator.members.member_registry import CertificateLifetimes, MemberRegistry
from hanse.aggregator.options import Options
from hanse.aggregator.service import AggregatorService
from hanse.config.load import load_plan
from hanse.core.journal.chain import Entry, Record, Times
from hanse.core.journal.site_records import JournalHead
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.events import Event
from hanse.core.run.lifecycle import AnswerPlan, Submit
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, RecordAggregate
from hanse.core.run.round_events import RoundCommitted
from hanse.core.run.run import Run
from hanse.core.run.tasks import AcceptResult, StartTask
from hanse.core.values.canonical import sha256
from hanse.core.values.digests import digest_of_bytes
from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer
from hanse.pki.authority import Authority
from hanse.pki.certificates import peer_of, pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.enrolment import request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state as signed
from hanse.sandbox.confine import Confinement
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import Settings, simulate
from hanse.simulation.sites import counted
from hanse.storage.blobs_file import FileBlobStore
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journal_sql import SqlJournal
from hanse.storage.journaled_run import JournaledRun
from hanse.wire.messages.runs import SubmitRequest
from hanse.wire.messages.sites import (
    PLAN_ANSWER,
    TASK_RESULT,
    AnswerRequest,
    Assignment,
    NextRequest,
    PlanAnswer,
    ProgressRequest,
    ResultRequest,
    RunWork,
    TaskOutcome,
    UpdateFile,
)
from hanse.wire.tensors import encode

EXAMPLES = 60_000
LEARNER = f"""
import numpy as np
import hanse

LABELS = np.arange({EXAMPLES}) % 10

class Trivial:
    def __init__(self, site):
        self.examples = len(site.share(LABELS))
    def parameters(self):
        return {{"w": np.zeros(100, np.float32)}}
    def train(self, parameters, task):
        return hanse.TaskResult(self.examples, {{}}, {{"w": parameters["w"] + np.float32(1)}})
    def evaluate(self, parameters, task):
        return hanse.TaskResult(self.examples, {{}})

def learner(site):
    return Trivial(site)
"""
PLAN = {
    "name": "scale",
    "code": ["trivial.py"],
    "learner": "trivial:learner",
    "cohort": {"deadline": "10h", "idle_limit": "5h", "approvals": "10h"},
    "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
}


@dataclass(frozen=True)
class Cost:
    """Processor time a site, microseconds.

    Attributes:
        begin_us: Of the submission and the answers to the plan, and of what a part makes besides.
        round_us: Of a round.
    """

    begin_us: float
    round_us: float


def state(sites: int, rounds: int) -> Cost:
    """Rounds of a run on a journal in memory."""
    names = tuple(f"site-{number:05d}" for number in range(sites))
    plan = Plan.model_validate({**PLAN, "rounds": rounds})
    manifest = Manifest(plan=plan, files=(CodeFile(path="trivial.py", sha256="0" * 64, size=1),))
    run = JournaledRun(MemoryJournal(), "scale-1")
    begin = time.process_time()
    run.execute(Submit("scale-1", manifest, manifest.digest, "operator", names), 0)
    for name in names:
        run.execute(AnswerPlan(name, accepted=True, signer=sha256(name.encode())), 0)
    times = [time.process_time() - begin]
    run.execute(OpenRound(0), 0)
    run.execute(Commit(0, "a" * 64), 0)
    for number in range(1, rounds + 1):
        begin = time.process_time()
        run.execute(OpenRound(number), 0)
        run.execute(OpenExchange(number, 0, "train", "a" * 64), 0)
        for name in names:
            run.execute(StartTask(number, name), 0)
            run.execute(AcceptResult(number, name, 10, {"loss": 0.5}, "c" * 64), 0)
        run.execute(RecordAggregate(number, names, 10 * sites, "d" * 64), 0)
        run.execute(Commit(number, "b" * 64), 0)
        times.append(time.process_time() - begin)
    return _cost(sites, times)


def simulated(sites: int, rounds: int) -> Cost:
    """Rounds of a simulation; the share of each site is dealt in the first, which counts to the beginning."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        root = Path(folder)
        (root / "trivial.py").write_text(LEARNER)
        (root / "plan.yaml").write_text(json.dumps({**PLAN, "rounds": rounds + 1}))
        (root / "state").mkdir()
        commits: list[float] = []

        def listener(_: Run, event: Event) -> None:
            if isinstance(event, RoundCommitted) and event.round_number > 0:
                commits.append(time.process_time())

        begin = time.process_time()
        settings = Settings(root / "state", 0, Partition.parse("dirichlet:0.5"))
        simulate(load_plan(root / "plan.yaml"), counted(sites), settings, listener)
    return _cost(sites, [after - before for before, after in itertools.pairwise([begin, *commits])])


def _cost(sites: int, times: Sequence[float]) -> Cost:
    begin, *rounds = times
    return Cost(begin / sites * 1e6, statistics.fmean(rounds) / sites * 1e6)


# ------------------------------------------------------------------ the service


class WatchedJournal(SqlJournal):
    """A journal that notes the processor time of each commit of a round."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[float] = []
        self.ended: str | None = None

    def append(self, stream: str, entries: Sequence[Entry], *, time_ms: Times) -> tuple[Record, ...]:
        added = super().append(stream, entries, time_ms=time_ms)
        for record in added:
            if record.kind == "RoundCommitted" and record.body["round_number"] > 0:
                self.commits.append(time.process_time())
            if record.kind in ("RunFinished", "RunFailed"):
                self.ended = record.kind
        return added


@dataclass
class Federation:
    """The service of a federation in a directory, and the credentials of its sites."""

    service: AggregatorService
    journal: WatchedJournal
    blobs: FileBlobStore
    operator: Peer
    sites: list[Credentials] = field(default_factory=list)

    @staticmethod
    def new(directory: Path, sites: int) -> Federation:
        """A federation of so many sites."""
        now = datetime.now(UTC)
        authority, key = Authority.create("north", now, timedelta(2)), new_key()
        hub = Party("north", Role.AGGREGATOR, "hub")
        certificate = authority.issue(
            key.public_key(), hub, now=now, lifetime=timedelta(1), hosts=("localhost",)
        )
        hub_identity = Credentials.save_new(
            directory / "identity", key, pem_of(certificate), pem_of(authority.certificate), now
        )
        journal, blobs = WatchedJournal(directory / "journal.db"), FileBlobStore(directory)
        registry = MemberRegistry(journal, authority, lifetimes=CertificateLifetimes(), clock=_clock)
        options = Options(
            directory=directory, url="https://localhost:1", max_blob=10**6, disk_reserve=0, worker=_unconfined
        )
        service = AggregatorService(options, hub_identity, registry, journal, blobs, _clock, lambda: "0" * 32)

        def enrolled(role: Role, name: str) -> Credentials:
            party, key, signing_key = Party("north", role, name), new_key(), SigningKey.create()
            enrolment = enrolment_of(signing_key, party)
            _, issued = registry.sign(name, role, request_certificate(key, party), enrolment)
            place = directory / "parties" / name
            signing_key.save(place)
            return Credentials.save_new(place, key, issued.certificate, issued.authority, now)

        operator = peer_of(enrolled(Role.OPERATOR, "operator").certificate)
        federation = Federation(service, journal, blobs, operator)
        for number in range(sites):
            federation.sites.append(enrolled(Role.COLLABORATOR, f"site-{number:05d}"))
        return federation

    def keep(self, data: bytes) -> str:
        """Put a file of the plan where the service finds it."""
        return self.blobs.copy(io.BytesIO(data), len(data), "sha256")

    async def submit(self, rounds: int) -> str:
        """Submit the plan, with a first model; the run's id."""
        code, first = LEARNER.encode(), encode({"w": np.zeros(100, np.float32)})
        manifest = Manifest(
            plan=Plan.model_validate({**PLAN, "rounds": rounds, "initial_model": "first.safetensors"}),
            files=(CodeFile(path="trivial.py", sha256=self.keep(code), size=len(code)),),
            initial_model=CodeFile(path="first.safetensors", sha256=self.keep(first), size=len(first)),
        )
        request = SubmitRequest(plan_digest=self.keep(manifest.to_bytes()))
        return (await self.service.run_requests.submit(self.operator, request)).run_id


def _clock() -> datetime:
    return datetime.now(UTC)


def _unconfined(*, read: tuple[Path, ...], write: tuple[Path, ...]) -> Confinement:
    return Confinement(read=read, write=write)


class PlayedSite:
    """A site as the service sees it, without a learner."""

    def __init__(self, federation: Federation, number: int) -> None:
        self._service = federation.service
        self._peer = peer_of(federation.sites[number].certificate)
        self._key = SigningKey.load(federation.sites[number].directory)
        self._data = encode({"w": np.full(100, number + 1, np.float32)})
        self._done = 0

    async def work(self) -> None:
        """Do what the service wants, until nothing more comes."""
        known = ""
        while True:
            work = await self._service.site_requests.next(self._peer, NextRequest(known=known, wait_s=30.0))
            known = work.version
            for run in work.runs:
                if run.review:
                    await self._answer(run)
                for assignment in run.assignments:
                    if assignment.exchange > self._done:
                        self._done = assignment.exchange
                        await self._perform(run, assignment)

    async def _answer(self, run: RunWork) -> None:
        answer = PlanAnswer(
            federation="north",
            site=self._peer.party.name,
            plan_digest=run.plan_digest,
            accepted=True,
            reasons=("a benchmark",),
            decided_ms=0,
            signer=self._key.fingerprint,
        )
        request = AnswerRequest(run_id=run.run_id, statement=signed(self._key, PLAN_ANSWER, answer))
        await self._service.site_requests.answer(self._peer, request)

    async def _perform(self, run: RunWork, assignment: Assignment) -> None:
        peer, number = self._peer, assignment.exchange
        progress = ProgressRequest(run_id=run.run_id, exchange=number)
        await self._service.site_requests.progress(peer, progress)
        digest = digest_of_bytes(self._data, "blake3")
        opened = self._service.blob_requests.blob_to_take(peer, digest, len(self._data))
        if opened is not None:
            with closing(opened()) as writer:
                writer.write(self._data)
                writer.commit()
        outcome = TaskOutcome(
            federation="north",
            site=peer.party.name,
            run_id=run.run_id,
            plan_digest=run.plan_digest,
            exchange=number,
            round_number=assignment.round_number,
            task=assignment.task,
            model=assignment.model,
            outcome="done",
            num_examples=10,
            update=UpdateFile(digest=digest, size=len(self._data)),
            journal=JournalHead(generation=0, sequence=number + 1, digest="0" * 64),
            roster=assignment.roster,
        )
        request = ResultRequest(statement=signed(self._key, TASK_RESULT, outcome))
        await self._service.site_requests.result(peer, request)


def served(sites: int, rounds: int) -> Cost:
    """Rounds of the service."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="hanse-bench-", dir=memory if memory.is_dir() else None
    ) as folder:
        return asyncio.run(_served(Federation.new(Path(folder), sites), rounds))


async def _served(federation: Federation, rounds: int) -> Cost:
    service, journal = federation.service, federation.journal
    await service.start()
    playing = [
        asyncio.create_task(PlayedSite(federation, number).work()) for number in range(len(federation.sites))
    ]
    try:
        begin = time.process_time()
        run_id = await federation.submit(rounds + 1)
        while journal.ended is None:
            await asyncio.sleep(0.05)
            for task in playing:
                if task.done():
                    task.result()
        status = await service.run_requests.run(federation.operator, run_id)
        if status.phase != "finished":
            raise SystemExit(f"the run {status.phase}: {status.reason}")
    finally:
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        await service.close()
    return _cost(len(federation.sites), [b - a for a, b in itertools.pairwise([begin, *journal.commits])])


# ------------------------------------------------------------------------ output

PARTS: dict[str, Callable[[int, int], Cost]] = {"state": state, "simulate": simulated, "service": served}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sites", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3, help="fewest rounds")
    parser.add_argument(
        "--answers", type=int, default=10_000, help="answers of all sites and rounds, at least"
    )
    parser.add_argument("--turns", type=int, default=2, help="measurements of each number of sites")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for part in options.part:
        best: dict[int, Cost] = {}
        for _ in range(options.turns):
            for sites in options.sites:
                gc.collect()
                cost = PARTS[part](sites, max(options.rounds, options.answers // sites))
                before = best.get(sites, cost)
                best[sites] = Cost(min(cost.begin_us, before.begin_us), min(cost.round_us, before.round_us))
        ratio = best[max(best)].round_us / best[min(best)].round_us
        rows += [{"part": part, "sites": n, **vars(cost)} for n, cost in best.items()]
        rows.append({"part": part, "ratio": ratio})
        if not options.json:
            for sites, cost in best.items():
                print(f"{part:<9} {sites:6d} sites: a site and round {cost.round_us:6.0f} µs,", end="")
                print(f" before the rounds {cost.begin_us:6.0f} µs a site", flush=True)
            print(f"{part:<9} {max(best)} sites beside {min(best)}: {ratio:.2f} times the cost a site")
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
