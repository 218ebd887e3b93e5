"""Agents that are killed at each step, and folders that are lost, restored or copied."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.sums.cells import CellSite
from tests.unit.collaborator.test_tasks import FakeWorkers

from hanse import fault_points
from hanse.core.journal.site_records import ResultReleased
from hanse.core.journal.sum_records import ReadyReleased, SumPrepared
from hanse.core.values.statements import SignedStatement
from hanse.errors import StorageError, TrustError
from hanse.fault_points import Facts, FaultPoint
from hanse.wire.messages.sums import SumAsked

STEPS = [
    *("vector", "facts", "prepared", "ready", "ready sent", "roster"),
    *("masked", "masked recorded", "masked sent"),
]
KINDS = ["SumPrepared", "ReadyReleased", "RosterAccepted", "ResultReleased"]


class Killed(BaseException):
    """As a kill: no handler of the product takes it."""


class Killer:
    """Kills at the first point of which a test says so."""

    def __init__(self, point: FaultPoint, what: str) -> None:
        self._point, self._what = point, what
        self.killed = False

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        found = facts.get("step") or [kind for kind, _ in facts.get("entries", ())][:1]  # type: ignore[call-overload]
        if not self.killed and point is self._point and found in (self._what, [self._what]):
            self.killed = True
            raise Killed

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        self.reached(point, facts)


def killed_and_restarted(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch, point: FaultPoint, what: str
) -> FakeWorkers:
    """Kill an agent at a point, and have another one see the exchange through."""
    killer, workers = Killer(point, what), FakeWorkers()
    monkeypatch.setattr(fault_points, "observer", killer)
    with pytest.raises(Killed):
        cell.exchange(workers=workers)
    assert killer.killed
    if not cell.upstream.opened:
        restart(cell, workers)
    return workers


def restart(cell: CellSite, workers: FakeWorkers | None = None) -> None:
    """Another agent, which is asked what the aggregator waits for now."""
    cell.site.opened[-1].close()
    asked = None
    if cell.upstream.sum is not None:
        asked = SumAsked(cell="all", attempt=cell.upstream.sum.attempt, rho=cell.upstream.sum.rho)
    cell.run(cell.see_through(workers=workers, asked=asked))


def check_whole(cell: CellSite) -> None:
    """The sum is that of the vectors, no number has two READYs, and no roster two masked vectors."""
    (total,) = cell.upstream.opened
    assert np.array_equal(total, cell.q())
    numbers = [ready.body["attempt"] for ready in cell.upstream.readies]
    assert sorted(set(numbers)) == numbers
    assert len({ready.body["commitment"] for ready in cell.upstream.readies}) == 1
    masked: dict[str, str] = {}
    for outcome in cell.upstream.outcomes:
        assert outcome.secure_sum is not None
        assert outcome.update is not None
        assert masked.setdefault(outcome.secure_sum.rho, outcome.update.digest) == outcome.update.digest


@pytest.mark.parametrize("step", STEPS)
def test_an_agent_that_is_killed_after_a_step_ends_with_the_same_sum(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    workers = killed_and_restarted(cell, monkeypatch, FaultPoint.AFTER_SUM, step)

    check_whole(cell)
    # Before the record, nothing that depends on the vector has left, and it is computed again.
    assert len(workers.orders) == (2 if step in ("vector", "facts") else 1)
    assert len([read for read in cell.records if isinstance(read, SumPrepared)]) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("point", [FaultPoint.BEFORE_APPEND, FaultPoint.AFTER_APPEND])
def test_an_agent_that_is_killed_at_a_record_ends_with_the_same_sum(
    cell: CellSite, monkeypatch: pytest.MonkeyPatch, point: FaultPoint, kind: str
) -> None:
    killed_and_restarted(cell, monkeypatch, point, kind)

    check_whole(cell)


def test_what_was_masked_is_sent_again_as_it_was(cell: CellSite, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_and_restarted(cell, monkeypatch, FaultPoint.AFTER_SUM, "masked recorded")

    assert len(cell.upstream.readies) == 1
    assert len([read for read in cell.records if isinstance(read, ResultReleased)]) == 1
    assert cell.outcome.journal is not None


def test_a_private_key_that_is_lost_costs_an_attempt(cell: CellSite, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_and_restarted(cell, monkeypatch, FaultPoint.AFTER_SUM, "ready sent")

    assert [read.attempt for read in cell.records if isinstance(read, ReadyReleased)] == [1, 2]


@pytest.mark.parametrize("file", ["q", "q.json"])
def test_a_vector_that_is_lost_fails_its_exchange_for_good(cell: CellSite, file: str) -> None:
    workers = stopped_after_ready(cell)
    (cell.folder() / file).unlink()

    for _ in range(2):
        restart(cell, workers)
        assert cell.outcome.reason == "task train failed (lost_vector); the site's own log says more"
    assert len(workers.orders) == 1
    assert len(cell.upstream.readies) == 1


def test_a_vector_that_was_changed_is_never_masked_for_others(cell: CellSite) -> None:
    workers = stopped_after_ready(cell)
    words = bytearray((cell.folder() / "q").read_bytes())
    words[-1] ^= 1
    (cell.folder() / "q").write_bytes(words)

    restart(cell, workers)

    assert cell.outcome.reason == "task train failed (lost_vector); the site's own log says more"
    assert cell.upstream.delivered == {}


def test_the_facts_of_another_exchange_are_not_those_of_this_one(cell: CellSite) -> None:
    workers = stopped_after_ready(cell)
    facts = (cell.folder() / "q.json").read_text()
    (cell.folder() / "q.json").write_text(facts.replace(facts[10:20], "0" * 10))

    restart(cell, workers)

    assert "lost_vector" in cell.outcome.reason


def test_a_folder_of_before_the_exchange_commits_to_other_numbers_which_peers_refuse(
    cell: CellSite,
) -> None:
    backup = cell.site.directory.with_name("backup")
    cell.site.opened[-1].close()
    shutil.copytree(cell.site.directory, backup)
    stopped_after_ready(cell)
    cell.site.opened[-1].close()
    shutil.rmtree(cell.site.directory)
    shutil.copytree(backup, cell.site.directory)
    upstream = cell.upstream

    def refuse(statement: Any) -> None:
        upstream.post(None)
        with pytest.raises(TrustError, match="commits to other numbers than before"):
            upstream.take_ready(statement)
        raise TrustError("hospital-a commits to other numbers than before")

    upstream.at_ready = refuse
    restart(cell)

    first, second = (ready.body["commitment"] for ready in upstream.readies)
    assert first != second
    assert "(roster)" in cell.outcome.reason
    assert upstream.delivered == {}


def test_two_copies_of_a_folder_mask_one_vector(cell: CellSite) -> None:
    stopped_after_ready(cell)
    cell.site.opened[-1].close()
    copy = cell.site.directory.with_name("copy")
    shutil.copytree(cell.site.directory, copy)
    workers = FakeWorkers()
    restart(cell, workers)
    copied = replace(cell, site=replace(cell.site, directory=copy))
    copied.exchange(workers=workers)  # as if the aggregator had forgotten what it has heard

    first, second = cell.upstream.opened
    assert np.array_equal(first, second)
    assert workers.orders == []
    assert len({ready.body["commitment"] for ready in cell.upstream.readies}) == 1
    # The numbers of each copy rise; a second READY of one number is what aggregator and peers refuse.
    assert [ready.body["attempt"] for ready in cell.upstream.readies] == [1, 2, 2]


@pytest.mark.parametrize("step", ["vector", "masked"])
def test_a_full_disk_is_waited_for(cell: CellSite, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    workers = FakeWorkers()
    monkeypatch.setattr(fault_points, "observer", FullDisk(step))
    cell.exchange(workers=workers)

    check_whole(cell)
    assert len(workers.orders) == 1


class FullDisk:
    """A disk that is full when it first comes to a step, and has room afterwards."""

    def __init__(self, step: str) -> None:
        self._step = step

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        if facts.get("step") == self._step:
            self._step = ""
            raise StorageError("the disk is full")

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        self.reached(point, facts)


def test_an_earlier_exchange_is_not_attempted_again_once_a_later_one_was_prepared(cell: CellSite) -> None:
    cell.exchange(2)
    workers = FakeWorkers()
    cell.exchange(1, workers=workers)

    assert cell.outcome.reason == "task train failed (policy); the site's own log says more"
    assert workers.orders == []


def stopped_after_ready(cell: CellSite) -> FakeWorkers:
    """An agent that was stopped when its READY had left."""
    workers = FakeWorkers()

    def taken(statement: SignedStatement) -> None:
        cell.upstream.take_ready(statement)
        cell.upstream.post(None)

    cell.upstream.at_ready = taken
    cell.exchange(workers=workers)
    cell.upstream.at_ready = None
    return workers
