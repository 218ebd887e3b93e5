"""Rosters of several runs that come to a site at one moment: each is compared with those before it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.masked_sums import Member, member
from tests.unit.collaborator.sums.cells import OWN, CellSite, CellUpstream, Peer, published

from hanse.collaborator.sums.questions import Questions
from hanse.collaborator.tasks import Tasks
from hanse.core.journal.sum_records import RosterAccepted
from hanse.core.values.statements import SignedStatement
from hanse.privacy.secagg.aggregator import CellSum
from hanse.wire.messages.sites import RunWork, TaskOutcome, Work
from hanse.wire.messages.sums import SumAsked, SumRoster

FOUR = [member(name) for name in ("berlin", "cork", "delft")]


@dataclass
class OfRun:
    """One run of the aggregator: its peers, its sum, and what it waits for."""

    work: RunWork
    peers: list[Peer]
    sum: CellSum | None = None
    asked: SumAsked | None = field(default_factory=lambda: SumAsked(cell="all", attempt=1))


@dataclass
class TwoRuns(CellUpstream):
    """An aggregator that answers the questions for both rosters at one moment."""

    runs: dict[str, OfRun] = field(default_factory=dict)
    both: asyncio.Event | None = None
    questions: int = 0
    repost: Any = None

    def take_ready(self, statement: SignedStatement) -> None:
        run = self._enter(statement.body["run_id"])
        super().take_ready(statement)
        run.sum = self.sum

    def offer(self) -> None:
        super().offer()
        if all(run.asked is not None and run.asked.rho for run in self.runs.values()):
            self.repost()

    def take_masked(self, outcome: TaskOutcome) -> None:
        run = self._enter(outcome.run_id)
        super().take_masked(outcome)
        run.sum = self.sum
        self.repost()

    async def sum_roster(self, digest: str) -> SumRoster:
        assert self.both is not None
        self.questions += 1
        if self.questions == len(self.runs):
            self.both.set()
        await self.both.wait()
        return await super().sum_roster(digest)

    def _enter(self, run_id: str) -> OfRun:
        run = self.runs[run_id]
        self.sum, self.peers = run.sum, run.peers
        self.post = lambda asked: setattr(run, "asked", asked)
        return run


def met_at_once(cell: CellSite, *peers: list[Member]) -> TwoRuns:
    """Have a site see through a run with each of these cells, until none continues without a person."""
    upstream = TwoRuns(cell.upstream.authority)
    upstream.recorded = cell.upstream.recorded
    cell.site.upstream = cell.upstream = upstream
    for number, others in enumerate(peers, start=1):
        told = {"all": tuple(sorted([OWN, *(each.name for each in others)]))}
        work = published(cell.site, cell.run, cell.settings, run_id=f"demo-{number}", cells=told)
        upstream.runs[work.run_id] = OfRun(work, [Peer(own, own.fingerprint) for own in others])
    cell.run(_see_all_through(cell.agent(), cell, upstream))
    return upstream


async def _see_all_through(agent: Tasks, cell: CellSite, upstream: TwoRuns) -> None:
    upstream.both = asyncio.Event()
    assigned = {name: cell.assignment() for name in upstream.runs}

    def repost() -> None:
        listed = {
            name: (assigned[name].model_copy(update={"secure_sum": run.asked}),) if run.asked else ()
            for name, run in upstream.runs.items()
        }
        runs = [
            run.work.model_copy(update={"assignments": listed[name]}) for name, run in upstream.runs.items()
        ]
        agent.board.post(Work(version="1", runs=tuple(runs)))

    async def until_asked() -> None:
        while not Questions(cell.site.directory / "questions").all():
            await asyncio.sleep(0.01)
        for run in upstream.runs.values():
            run.asked = None
        repost()

    upstream.repost = repost
    repost()
    async with asyncio.timeout(30):
        asking = asyncio.create_task(until_asked())
        await asyncio.gather(*(agent.run(run.work, assigned[name]) for name, run in upstream.runs.items()))
    asking.cancel()


@pytest.mark.parametrize("names", [("berlin", "cork", "delft", "essen"), ("berlin", "cork", "essen")])
def test_of_two_rosters_that_overlap_and_come_at_once_one_waits_for_a_person(
    cell: CellSite, names: tuple[str, ...]
) -> None:
    others = [member(name) for name in names]
    peers = {each.name: each.fingerprint for each in (*FOUR, *others)}
    cell.settings = {"secure_aggregation": {"peers": peers}}
    met_at_once(cell, FOUR, others)

    assert len([read for read in cell.records if isinstance(read, RosterAccepted)]) == 1
    assert len(Questions(cell.site.directory / "questions").all()) == 1


def test_of_two_keys_of_one_name_that_come_at_once_only_one_is_first_seen(cell: CellSite) -> None:
    unchecked = [[*FOUR[:2], member("delft", key)] for key in ("one key", "another key")]
    peers = {each.name: each.fingerprint for each in FOUR[:2]}
    cell.settings = {"secure_aggregation": {"peers": peers}}
    met_at_once(cell, *unchecked)

    assert len([read for read in cell.records if isinstance(read, RosterAccepted)]) == 1
    assert [each.reason for each in cell.upstream.outcomes if each.outcome == "failed"] == [
        "task train failed (roster); the site's own log says more"
    ]
