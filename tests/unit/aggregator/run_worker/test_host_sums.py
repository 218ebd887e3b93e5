"""Masked sums that a run worker asks for: it gets the sum over whole cells, and nothing of one site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture
from tests.masking_sites import MaskingSite
from tests.unit.aggregator.run_workers import Run, Worker, exchange, worker
from tests.unit.aggregator.sums.cells import PLAN, Sums

from hanse.aggregator.run_worker.protocol import CohortReply, OpenRoundCall, SumReply, WorkerModel
from hanse.core.run.round_events import UpdatesAggregated
from hanse.core.run.sums.events import SumOpened
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import Strict
from hanse.errors import DisclosureError, PlanError, UpdateError
from hanse.privacy.secagg.vector import Result
from hanse.wire.tensors import encode, open_file

NONE = WorkerModel()
COUNT = {"task": "count", "model": NONE}
TRAINING: dict[str, Any] = {
    "cells": {"all": ["a", "b", "c"]},
    "cohort": {"minimum": 3},
    "aggregation": {"rule": "mean"},
    "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "secure_aggregation"}}},
    "privacy": {"secure_aggregation": {"model": {"clip": 1.0}}},
}
CELLS = {"north": ["a", "b", "c"], "south": ["d", "e", "f"]}


@asynccontextmanager
async def counting(
    fixture: FederationFixture, **plan: Any
) -> AsyncIterator[tuple[Worker, Sums, asyncio.Task[Strict | None]]]:
    """A worker that has asked for a masked count in round 1."""
    async with worker(fixture, **PLAN | plan) as w:
        await w.commit(0, NONE)
        await w.call(OpenRoundCall(round_number=1), CohortReply)
        yield w, Sums(fixture, w.run_id), await w.asking(exchange(**COUNT))


def shown(w: Worker, reply: SumReply) -> dict[str, Any]:
    assert reply.file is not None
    return dict(open_file(w.workspace.inbox / reply.file))


def opened(w: Worker) -> list[SumOpened]:
    return [event for event in w.fixture.events(w.run_id) if isinstance(event, SumOpened)]


class TestSum:
    def test_a_worker_gets_the_sum_and_no_vector(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                await sums.ready()
                await sums.masked()
                reply = await asking
                assert isinstance(reply, SumReply)
                assert (reply.sites, reply.num_examples, reply.updated) == (("a", "b", "c"), 3, False)
                assert shown(w, reply)["@counts"].tolist() == [111, 222, 333, 444]
                assert reply.metrics["loss"] == pytest.approx(0.5, abs=1e-6)
                assert sorted(path.name for path in w.workspace.inbox.iterdir()) == [reply.file]
                assert not w.workspace.sums.exists()

        run(main())

    def test_the_journal_has_the_sum_of_each_cell_before_the_aggregate(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                await sums.ready()
                await sums.masked()
                cell = sums.cell
                await asking
                await w.commit(1, NONE)
                (event,) = opened(w)
                assert (event.cell, event.attempt, event.rho) == ("all", 1, cell.rho)
                assert event.masked == dict(cell.masked)
                assert event.num_examples is None
                kinds = [e.kind for e in fixture.events(w.run_id)]
                assert kinds.index("ExchangeClosed") < kinds.index("SumOpened")
                assert kinds.index("SumOpened") < kinds.index("UpdatesAggregated")
                (aggregated,) = [e for e in fixture.events(w.run_id) if isinstance(e, UpdatesAggregated)]
                assert aggregated.num_examples == 3  # sites, where examples are not summed

        run(main())

    def test_vectors_are_kept_until_the_commit_and_no_longer(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                await sums.ready()
                await sums.masked()
                vectors = [*sums.cell.masked.values()]
                await asking
                assert all(map(fixture.blobs.has, vectors))
                await w.commit(1, NONE)
                assert not any(map(fixture.blobs.has, vectors))

        run(main())

    def test_a_worker_that_begins_again_gets_the_same_sum(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                await sums.ready()
                await sums.masked()
                first, again = await asking, w.again()
                second = await again.host.handle(exchange(**COUNT))
                assert first == second
                await again.commit(1, NONE)
                assert len(opened(w)) == 1

        run(main())

    def test_an_aggregator_that_dies_before_the_sum_is_opened_opens_it_at_its_next_start(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                await sums.ready()
                await sums.masked("a", "b")
                asking.cancel()
                await sums.masked("c")
                assert sums.exchange.closed == "all"
                await fixture.restart()
                again = Worker(fixture, w.run_id)
                reply = await again.host.handle(exchange(**COUNT))
                assert isinstance(reply, SumReply)
                assert shown(again, reply)["@counts"].tolist() == [111, 222, 333, 444]

        run(main())

    @pytest.mark.parametrize("after", ["nothing", "two READYs", "the roster", "one vector"])
    def test_an_aggregator_that_dies_in_mid_exchange_goes_on_with_what_came(
        self, after: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with counting(fixture) as (w, sums, asking):
                ready, masked = [*"abc"], [*"abc"]
                if after == "two READYs":
                    await sums.ready(ready.pop(0), ready.pop(0))
                elif after != "nothing":
                    await sums.ready()
                    ready = []
                if after == "one vector":
                    await sums.masked(masked.pop(0))
                asking.cancel()
                await fixture.restart()
                again = Worker(fixture, w.run_id)
                asking = asyncio.create_task(again.host.handle(exchange(**COUNT)))
                if ready:
                    await sums.ready(*ready)
                await sums.masked(*masked)
                reply = await asking
                assert isinstance(reply, SumReply)
                assert shown(again, reply)["@counts"].tolist() == [111, 222, 333, 444]
                assert sums.cell.attempt == 1

        run(main())

    def test_a_model_that_the_plan_does_not_bound_is_refused_before_a_site_is_asked(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            whole = {"steps": np.zeros(2, np.int64)}
            async with worker(fixture, **TRAINING | {"initial": whole}) as w:
                first = WorkerModel(ref=ModelRef(sha256(encode(whole))))
                await w.commit(0, first)
                await w.call(OpenRoundCall(round_number=1), CohortReply)
                with pytest.raises(PlanError, match="has whole numbers, and the plan states no range"):
                    await w.host.handle(exchange(model=first))
                assert not fixture.run(w.run_id).last_exchange

        run(main())

    def test_single_answers_are_not_to_be_had(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await w.commit(0, NONE)
                await w.call(OpenRoundCall(round_number=1), CohortReply)
                for kind, more in (("ask", {}), ("sum", {"sites": ("a", "b", "c")})):
                    with pytest.raises(DisclosureError, match="is summed masked over whole cells"):
                        await w.host.handle(exchange(kind, **COUNT, **more))

        run(main())


class TestCells:
    @pytest.fixture
    def fixture(self, fixture: FederationFixture) -> FederationFixture:
        """Six sites."""
        fixture.credentials |= {name: fixture.enrolled(name) for name in "def"}
        return fixture

    def two_cells(self, sums: Sums) -> None:
        for place, name in enumerate("def", 3):
            numbers = {"@counts": np.full(4, place)}
            sums.sites[name] = MaskingSite(sums.fixture, name, Result(numbers, {"loss": 1.0}))

    def test_sums_of_cells_are_added(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with counting(fixture, cells=CELLS) as (w, sums, asking):
                self.two_cells(sums)
                await sums.ready(*"abcdef")
                await sums.masked(*"abcdef")
                reply = await asking
                assert isinstance(reply, SumReply)
                assert shown(w, reply)["@counts"].tolist() == [123, 234, 345, 456]
                await w.commit(1, NONE)
                assert [event.cell for event in opened(w)] == ["north", "south"]

        run(main())

    def test_a_cell_that_lacks_a_member_is_left_out(self, fixture: FederationFixture, run: Run) -> None:
        section = PLAN["privacy"]["secure_aggregation"] | {"incomplete": "leave_out"}
        plan = {"cells": CELLS, "privacy": {"secure_aggregation": section}}
        plan["cohort"] = {"minimum": 3, "quorum": 0.5}

        async def main() -> None:
            async with counting(fixture, **plan) as (w, sums, asking):
                self.two_cells(sums)
                await sums.ready(*"abcdef")
                await sums.masked(*"abcde")
                failed = fixture.outcome(
                    w.run_id, "f", outcome="failed", num_examples=0, reason="task count failed (data)"
                )
                await fixture.hand_in(failed)
                reply = await asking
                assert isinstance(reply, SumReply)
                assert reply.sites == ("a", "b", "c")
                assert shown(w, reply)["@counts"].tolist() == [111, 222, 333, 444]
                await w.commit(1, NONE)
                (aggregated,) = [e for e in fixture.events(w.run_id) if isinstance(e, UpdatesAggregated)]
                assert aggregated.sites == ("a", "b", "c")
                assert [event.cell for event in opened(w)] == ["north"]

        run(main())

    def test_a_member_that_masked_something_else_fails_the_round_and_the_cell_is_named(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with counting(fixture, cells=CELLS) as (w, sums, asking):
                self.two_cells(sums)
                await sums.ready(*"abcdef")
                part = sums.sites["e"]._parts[w.run_id, 1]
                part.words = part.words + np.arange(len(part.words), dtype=np.uint32) * np.uint32(2**29)
                await sums.masked(*"abcdef")
                with pytest.raises(UpdateError, match=r"the sum of cell south \(d, e, f\) is none"):
                    await asking
                assert not opened(w)

        run(main())
