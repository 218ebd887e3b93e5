"""A site in a cell of four: its peers, and an aggregator that follows the protocol unless a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.masked_sums import Member, masked, member, random_bytes, verify
from tests.unit.collaborator.aggregators import (
    TRAIN,
    FakeUpstream,
    Site,
    joined,
    manifest_of,
    tasks_of,
    until,
)
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse.collaborator.review import Reviewer
from hanse.collaborator.site_journal import records_of
from hanse.collaborator.tasks import Tasks
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import SiteRecord
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY, read_ready
from hanse.errors import RunError
from hanse.pki.authority import Authority
from hanse.pki.signing_key import SigningKey
from hanse.privacy.secagg.aggregator import CellPlan, CellSum, OpenSum, take_masked, take_ready
from hanse.privacy.secagg.roster import Pins
from hanse.privacy.secagg.site import SiteSum, SumPlan, begin, step
from hanse.privacy.secagg.site_steps import (
    Asked,
    MaskWritten,
    RosterCame,
    SendReady,
    WriteMasked,
)
from hanse.wire.messages.sites import Assignment, ResultReply, ResultRequest, RunWork, TaskOutcome, Work
from hanse.wire.messages.sums import SumAsked, SumReadyRequest, SumRoster
from hanse.wire.tensors import decode

OWN = "hospital-a"
PEERS = [member(name) for name in ("berlin", "cork", "delft")]
MEMBERS = (*sorted(peer.name for peer in PEERS), OWN)
SUBMITTED_MS = 1_700_000_000_000

SECURE = {
    "model": {"clip": 10.0, "integers": [-100, 100]},
    "metrics": {"loss": [0, 20]},
    "examples": {"least": 2, "most": 100, "max_share": 1.0},
    "ready_after": "0s",
}
MASKED_TRAIN = {
    "discloses": TRAIN["discloses"] | {"aggregated_by": "secure_aggregation"},
}
Words = np.ndarray[Any, Any]


def checked(*names: str) -> dict[str, Any]:
    """Settings of a site that has checked these peers; all unless some are named."""
    peers = {peer.name: peer.fingerprint for peer in PEERS if not names or peer.name in names}
    return {"secure_aggregation": {"peers": peers}}


@dataclass
class Peer:
    """Another member, which follows the protocol with zeros for its numbers.

    Attributes:
        own: Its name and key.
        commitment: To its vector.
    """

    own: Member
    commitment: str
    state: SiteSum | None = None
    y: Words | None = None

    def ready(self, like: SignedStatement, attempt: int, keys: dict[str, str]) -> SignedStatement:
        """Its READY for an attempt at the sum that another member's READY is about."""
        body = read_ready(like.body)
        if self.state is None:
            plan = SumPlan(
                *(body.federation, body.run_id, body.exchange, body.cell, tuple(sorted(keys)), self.own.name),
                *(self.own.fingerprint, body.context, self.commitment, 1, Pins(keys)),
            )
            self.state = begin(plan)
        made = self._take(Asked(attempt))
        (sent,) = (each for each in made if isinstance(each, SendReady))
        return self.own.key.sign(READY, sent.body.model_dump())

    def mask(self, roster: tuple[SignedStatement, ...], words: int) -> str:
        """Accept a roster, and mask; what the test takes for the digest of y."""
        (write,) = (each for each in self._take(RosterCame(roster)) if isinstance(each, WriteMasked))
        self.y = masked(np.zeros(words, "<u4"), write.keys)
        self._take(MaskWritten(write.rho, "ab" * 32, self.commitment))
        return "ab" * 32

    def _take(self, event: Any) -> tuple[Any, ...]:
        assert self.state is not None
        seed = int(self.own.fingerprint[:8], 16) + self.state.history.last
        self.state, made = step(self.state, event, randomness=random_bytes(seed), verify=verify)
        return made


@dataclass
class CellUpstream(FakeUpstream):
    """An aggregator with one cell, whose other members answer at once.

    Attributes:
        readies: Every READY that came of the site.
        opened: Sums of the cell, in words.
        at_ready: What a test has done instead when a READY comes.
        at_result: The same, when a masked vector comes.
    """

    prompt: bool = False
    readies: list[SignedStatement] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    sum: CellSum | None = None
    opened: list[Words] = field(default_factory=list)
    offered: dict[str, tuple[SignedStatement, ...]] = field(default_factory=dict)
    at_ready: Callable[[SignedStatement], None] | None = None
    at_result: Callable[[TaskOutcome], None] | None = None
    post: Callable[[SumAsked | None], None] = lambda _: None

    def new_exchange(self) -> None:
        """Have the cell begin another sum."""
        self.sum = None
        self.peers = [Peer(own, own.fingerprint) for own in PEERS]

    @property
    def keys(self) -> dict[str, str]:
        assert self.recorded is not None
        return {OWN: self.recorded} | {peer.own.name: peer.own.fingerprint for peer in self.peers}

    async def sum_ready(self, request: SumReadyRequest) -> None:
        self._meet("sum_ready")
        self._verify(READY, request.statement)
        self.readies.append(request.statement)
        (self.at_ready or self.take_ready)(request.statement)

    async def sum_roster(self, digest: str) -> SumRoster:
        self._meet("sum_roster")
        if digest not in self.offered:
            raise RunError("no such roster")
        return SumRoster(ready=self.offered[digest])

    async def result(self, request: ResultRequest) -> ResultReply:
        outcome = TaskOutcome.model_validate(request.statement.body)
        if outcome.secure_sum is not None:
            self._meet("masked")
            (self.at_result or self.take_masked)(outcome)
        else:
            self.post(None)
        return await super().result(request)

    def take_ready(self, statement: SignedStatement) -> None:
        """Take a READY as `CellSum` does, and those of all peers with it."""
        body = read_ready(statement.body)
        if self.sum is None:
            plan = CellPlan(body.federation, body.run_id, body.exchange, body.cell, body.context, self.keys)
            self.sum = CellSum(plan)
        self.sum, _ = take_ready(self.sum, statement, verify)
        for peer in self.peers:
            if peer.own.name not in self.sum.ready:
                other = peer.ready(statement, self.sum.attempt, self.keys)
                self.sum, _ = take_ready(self.sum, other, verify)
        self.offer()

    def offer(self) -> None:
        """Let the site know the roster."""
        assert self.sum is not None
        rho = self.sum.rho
        assert rho is not None
        self.offered[rho] = tuple(self.sum.ready[name] for name in sorted(self.sum.ready))
        self.post(SumAsked(cell="all", attempt=self.sum.attempt, rho=rho))

    def take_masked(self, outcome: TaskOutcome) -> None:
        """Take the site's masked vector, and those of all peers with it; add them up."""
        assert self.sum is not None
        place, update = outcome.secure_sum, outcome.update
        assert place is not None
        assert update is not None
        self.sum, made = take_masked(self.sum, OWN, place.attempt, place.rho, update.digest)
        y = decode(self.delivered[update.digest])["masked"]
        for peer in self.peers:
            if peer.own.name not in self.sum.masked:
                digest = peer.mask(self.offered[place.rho], len(y))
                self.sum, made = take_masked(self.sum, peer.own.name, place.attempt, place.rho, digest)
        if any(isinstance(each, OpenSum) for each in made):
            total = y.copy()
            for peer in self.peers:
                assert peer.y is not None
                total += peer.y
            self.opened.append(total)
            self.post(None)


@dataclass
class CellSite:
    """A site, in a run whose plan it has accepted; each `agent` is one that just started."""

    site: Site
    upstream: CellUpstream
    work: RunWork
    run: Callable[[Any], Any]
    settings: dict[str, Any] = field(default_factory=checked)
    context_changes: dict[str, Any] = field(default_factory=dict)

    def agent(self, workers: Any = None) -> Tasks:
        """The tasks of an agent that just started, whose list of work the aggregator keeps."""
        context = replace(
            self.site.context(**self.settings),
            randomness=random_bytes(len(self.site.opened)),
            look_s=0.01,
            **self.context_changes,
        )
        return tasks_of(context, workers or FakeWorkers())

    def assignment(self, exchange: int = 1, *, asked: SumAsked | None = None, **told: Any) -> Assignment:
        first = SumAsked(cell="all", attempt=1)
        given = {"max_update_bytes": 10_000, "secure_sum": asked or first}
        task = told.pop("task", "train")
        return self.site.assignment(task, exchange, **given | told)

    def run_in_background(self, agent: Tasks, exchange: int = 1) -> asyncio.Task[None]:
        """As `see_through`, of an assignment that asks for no sum."""
        return asyncio.create_task(self.see_through(exchange, agent=agent, secure_sum=None))

    async def until_prepared(self, exchange: int = 1) -> None:
        """Wait until the vector of an exchange is kept, and a while longer."""
        await until((self.folder(exchange) / "q.json").exists)
        await asyncio.sleep(0.1)

    async def see_through(
        self, exchange: int = 1, *, workers: Any = None, agent: Tasks | None = None, **told: Any
    ) -> None:
        """Have an agent see an exchange through, until it is taken off its list."""
        tasks, assigned = agent or self.agent(workers), self.assignment(exchange, **told)

        def post(asked: SumAsked | None) -> None:
            listed = () if asked is None else (assigned.model_copy(update={"secure_sum": asked}),)
            tasks.board.post(Work(version="1", runs=(self.work.model_copy(update={"assignments": listed}),)))

        self.upstream.post = post
        listed = self.work.model_copy(update={"assignments": (assigned,)})
        tasks.board.post(Work(version="0", runs=(listed,)))
        async with asyncio.timeout(30):
            await tasks.run(self.work, assigned)

    def exchange(self, number: int = 1, **told: Any) -> None:
        """As `see_through`, of a sum that begins."""
        self.upstream.new_exchange()
        self.run(self.see_through(number, **told))

    @property
    def records(self) -> list[SiteRecord]:
        """The site's journal."""
        return [read for _, read in records_of(self.site.directory, SiteHistory())]

    @property
    def kinds(self) -> list[str]:
        """Kinds of the records, from the answer to the plan on."""
        return [read.kind for read in self.records][2:]

    @property
    def outcome(self) -> TaskOutcome:
        """What the aggregator got last."""
        return self.upstream.outcomes[-1]

    def folder(self, exchange: int = 1) -> Path:
        """The files of an exchange."""
        return self.site.directory / "runs" / self.work.run_id / "sums" / str(exchange)

    def q(self, exchange: int = 1) -> Words:
        """The words of the vector that is kept."""
        return decode((self.folder(exchange) / "q").read_bytes())["masked"]


def cell_site(directory: Path, authority: Authority, run: Callable[[Any], Any], **plan: Any) -> CellSite:
    """A site of a cell of four that has accepted the plan of a run."""
    directory.mkdir()
    site = joined(directory, authority)
    upstream = CellUpstream(authority)
    upstream.recorded = SigningKey.load(directory / "pki").fingerprint
    site.upstream = upstream
    work = published(site, run, **plan)
    return CellSite(site, upstream, work, run)


def privacy(**section: Any) -> dict[str, Any]:
    """The section `privacy` of a plan, with other bounds."""
    return {"secure_aggregation": SECURE | section}


def published(
    site: Site,
    run: Callable[[Any], Any],
    settings: dict[str, Any] | None = None,
    run_id: str = "demo-1",
    **plan: Any,
) -> RunWork:
    """Another run, whose plan the site accepts."""
    told = {
        "workflow": "federation:workflow",
        "initial_model": "workflow",
        "cells": {"all": MEMBERS},
        "tasks": {"train": MASKED_TRAIN},
        "privacy": {"secure_aggregation": SECURE},
    }
    work = site.publish(manifest_of(**told | plan))
    work = work.model_copy(update={"submitted_ms": SUBMITTED_MS, "run_id": run_id})
    # Its workflow is its own, so that a person has read it.
    told_here = {**(settings or checked()), "policy": {"accept_digests": [work.plan_digest]}}
    run(Reviewer(site.context(**told_here)).review(work))
    return work
