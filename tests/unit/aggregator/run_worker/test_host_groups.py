"""Groups, cells and results of a run worker, whom nobody trusts."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture
from tests.unit.aggregator.run_workers import Run, Worker, exchange, worker

from hanse.aggregator.run_worker.protocol import (
    AnswersReply,
    CohortReply,
    ExchangeCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    SumReply,
    WorkerModel,
    read_call,
)
from hanse.core.run.round_events import ExchangeOpened, UpdatesAggregated
from hanse.core.values.parameters import Parameters
from hanse.errors import DisclosureError, HanseError, ProtocolError, QuorumError, WorkflowError
from hanse.wire.tensors import open_file

BY_AGGREGATOR = {"aggregated_by": "aggregator"}
PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "initial_model": "none",
    "initial": None,
    "max_result_bytes": 100,
    "dimensions": {"bins": 4},
    "cells": {"north": ["a", "b"]},
    "cohort": {"minimum": 2, "cell_minimum": 2, "quorum": 0.5},
    "groups": {
        "edges": {"float64": ["bins"]},
        "counts": {"n": {"int64": ["bins"]}, "sum": {"float64": []}},
        "largest": {"float64": [], "range": [-5, 5]},
    },
    "tasks": {
        "count": {
            "receives": ["edges"],
            "exchanges": 3,
            "varies": {"scale": [0.0, 4.0]},
            "discloses": BY_AGGREGATOR | {"groups": {"counts": "total", "largest": "individual"}},
        },
        "show": {"receives": [], "discloses": {"groups": {"largest": "individual"}}},
    },
}
NONE = WorkerModel()
EDGES = {"@edges": np.array([0.0, 1.0])}
COUNTED = {"@counts/n": np.array([3, 4]), "@counts/sum": np.array(0.5), "@largest": np.array(2.0)}


def write(w: Worker, tensors: Parameters, name: str = "group-0.safetensors") -> str:
    found = w.written(tensors, name).file
    assert found is not None
    return found


async def begun(w: Worker) -> Worker:
    await w.commit(0, NONE)
    await w.call(OpenRoundCall(round_number=1), CohortReply)
    return w


def counting(w: Worker, tensors: Parameters = EDGES, **more: Any) -> ExchangeCall:
    said = {"task": "count", "model": NONE, "groups": {"edges": write(w, tensors)}}
    return exchange(**(said | more))


async def counted(w: Worker, *sites: str, **changes: Any) -> None:
    for site in sites:
        file = w.fixture.bring(site, COUNTED | changes)
        await w.fixture.hand_in(w.fixture.outcome(w.run_id, site, update=file, **beside(w)))


def beside(w: Worker) -> dict[str, Any]:
    run = w.fixture.run(w.run_id)
    inputs = run.exchanges[run.last_exchange].inputs
    return {"groups": dict(inputs.groups), "settings": dict(inputs.settings), "cells": inputs.cells}


class TestSum:
    def test_groups_come_as_files_and_their_sum_goes_as_one(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w, settings={"scale": 2.0}))
                await counted(w, "a", "b")
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.sites, reply.updated) == (("a", "b"), False)
                assert reply.file is not None
                found = open_file(w.workspace.inbox / reply.file)
                assert found["@counts/n"].tolist() == [6, 8]
                assert float(found["@counts/sum"]) == 1.0
                assert sorted(name for name in found if name.startswith("@@")) == [
                    "@@a/largest",
                    "@@b/largest",
                ]

        run(main())

    def test_they_stand_in_the_journal_and_so_do_settings_and_cells(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w, settings={"scale": 2.0}, cells=("north",)))
                await counted(w, "a", "b")
                await asked
                await w.commit(1, NONE)
                (opened,) = [e for e in fixture.events(w.run_id) if isinstance(e, ExchangeOpened)]
                assert set(opened.groups) == {"edges"}
                assert (opened.settings, opened.cells, opened.cohort) == (
                    {"scale": 2.0},
                    ("north",),
                    ("a", "b"),
                )
                assert not fixture.blobs.has(opened.groups["edges"])

        run(main())

    def test_a_cell_with_too_few_answers_has_none_whoever_asks_again(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w, cells=("north",)))
                await counted(w, "a")
                failed = fixture.outcome(w.run_id, "b", outcome="failed", num_examples=0, **beside(w))
                await fixture.hand_in(failed)
                with pytest.raises(QuorumError, match="the cell north has answers of 1 site") as first:
                    await asked
                again = w.again()
                with pytest.raises(QuorumError) as second:
                    await again.host.handle(counting(again, cells=("north",)))
                assert str(first.value) == str(second.value)
                assert not [e for e in fixture.events(w.run_id) if isinstance(e, UpdatesAggregated)]

        run(main())

    def test_a_worker_that_begins_again_gets_the_same_sum(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w))
                await counted(w, "a", "b")
                first, again = await asked, w.again()
                second = await again.host.handle(counting(again))
                assert first == second
                with pytest.raises(WorkflowError, match="after a restart the workflow asked something else"):
                    await again.host.handle(counting(again, {"@edges": np.zeros(2)}))

        run(main())

    def test_a_total_that_overflows_is_told_to_the_worker(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w))
                await counted(w, "a", "b", **{"@counts/n": np.array([2**62, 2**62])})
                with pytest.raises(
                    HanseError, match=r"total of array 'n' of group 'counts' .* too large for int64"
                ):
                    await asked

        run(main())


class TestHostileWorker:
    @pytest.mark.parametrize(
        ("tensors", "problem"),
        [
            ({}, "group 'edges' is missing"),
            ({"edges": np.zeros(2)}, "the file of 'edges' has a tensor 'edges'"),
            ({"@largest": np.zeros(())}, "the file of 'edges' has a tensor '@largest'"),
            (EDGES | {"w": np.zeros(2)}, "has a tensor 'w'"),
            ({"@edgesx": np.zeros(2)}, "has a tensor '@edgesx'"),
            ({"@edges/x": np.zeros(2)}, "it has array 'x' of group 'edges'"),
            (EDGES | {"@edges/x": np.zeros(2)}, "it has array 'x' of group 'edges'"),
            ({"@edges": np.zeros(5)}, "bins is 5, at most 4"),
            ({"@edges": np.zeros(2, np.int64)}, "group 'edges' is int64, and should be float64"),
            ({"@edges": np.array([0, np.nan])}, "a NaN or an infinity in group 'edges'"),
        ],
    )
    def test_a_group_file_with_other_tensors_is_refused_before_anybody_is_asked(
        self, tensors: Parameters, problem: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                with pytest.raises(WorkflowError) as refused:
                    await w.host.handle(counting(w, tensors))
                assert problem in str(refused.value)
                assert fixture.run(w.run_id).in_round() == ()

        run(main())

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"groups": {}}, "is asked with the groups none"),
            ({"settings": {"lr": 1}}, "'lr' of task count does not vary"),
            ({"settings": {"scale": 5.0}}, "'scale' of task count is 5.0"),
            ({"settings": {"scale": 10**400}}, "'scale' of task count is 1000"),
            ({"cells": ("south",)}, "the cell 'south'"),
            ({"cells": ()}, "no cell, or one twice"),
            ({"cells": ("north", "north")}, "no cell, or one twice"),
            ({"cells": ("north",), "task": "show", "groups": {}, "sites": ("a",)}, "cells and sites at once"),
            ({"task": "spy"}, "the plan has no task 'spy'"),
        ],
    )
    def test_other_inputs_than_the_plans_are_refused(
        self, changes: dict[str, Any], problem: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                with pytest.raises(WorkflowError) as refused:
                    await w.host.handle(counting(w, **changes))
                assert problem in str(refused.value)
                assert fixture.run(w.run_id).in_round() == ()

        run(main())

    @pytest.mark.parametrize("more", [{"kind": "ask"}, {"sites": ("a", "b")}])
    def test_what_is_combined_is_not_given_by_site(
        self, more: dict[str, Any], fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                with pytest.raises(DisclosureError, match="only combined over the cohort"):
                    await w.host.handle(counting(w, **more))

        run(main())

    def test_a_model_in_a_run_without_one_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                model = w.written({"w": np.zeros(2)})
                with pytest.raises(WorkflowError, match="'count' is asked with a model"):
                    await w.host.handle(counting(w, model=model))
                with pytest.raises(WorkflowError, match="with a model, and by the plan the run has none"):
                    await w.commit(1, w.written({"w": np.zeros(2)}))

        run(main())

    @pytest.mark.parametrize(
        ("tensors", "problem"),
        [
            ({}, "the result 'r' has no arrays"),
            ({"r": np.zeros(2)}, "the file of 'r' has a tensor 'r'"),
            ({"@other": np.zeros(2)}, "the file of 'r' has a tensor '@other'"),
            ({"@r/../x": np.zeros(2)}, "the result 'r' has no arrays, or some whose names cannot be written"),
            ({"@r/a/b": np.zeros(2)}, "whose names cannot be written"),
            ({"@r": np.zeros(13)}, "the results have 104 bytes; by the plan they have at most 100"),
        ],
    )
    def test_results_that_cannot_be_kept_are_refused(
        self, tensors: Parameters, problem: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                with pytest.raises(WorkflowError) as refused:
                    await w.commit(1, NONE, results={"r": write(w, tensors)})
                assert problem in str(refused.value)
                assert fixture.run(w.run_id).committed == 0

        run(main())

    @pytest.mark.parametrize("name", ["../r", "", "9", "r\n", "r" * 64])
    def test_names_of_results_are_checked_where_they_come(self, name: str) -> None:
        call = {
            "call": "commit",
            "round_number": 1,
            "model": {},
            "metrics": {},
            "state": None,
            "consumed": [],
        }

        with pytest.raises(ProtocolError, match="malformed call"):
            read_call(call | {"results": {name: "a.safetensors"}})

    @pytest.mark.parametrize(
        "more",
        [
            {"groups": {"g": "../../etc/passwd"}},
            {"groups": {"g": "/etc/passwd"}},
            {"groups": {f"g{i}": "a" for i in range(21)}},
            {"settings": {f"s{i}": 1 for i in range(51)}},
        ],
    )
    def test_so_are_files_and_settings(self, more: dict[str, Any]) -> None:
        call = {"call": "sum", "round_number": 1, "index": 0, "task": "count", "model": {}}

        with pytest.raises(ProtocolError, match="malformed call"):
            read_call(call | more)


class TestResults:
    def test_they_stay_until_they_are_given_again_and_are_lent_to_who_begins_again(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                first = {"r": write(w, {"@r": np.zeros(3)}, "a.safetensors")}
                first |= {"s": write(w, {"@s/x": np.zeros(3)}, "b.safetensors")}
                await w.commit(1, NONE, results=first)
                before = dict(fixture.run(w.run_id).results)
                await w.call(OpenRoundCall(round_number=2), CohortReply)
                await w.commit(2, NONE, results={"r": write(w, {"@r": np.ones(3)})})
                results = fixture.run(w.run_id).results
                assert results["s"] == before["s"]
                assert not fixture.blobs.has(before["r"])
                standing = await w.again().call(StandingCall(), StandingReply)
                assert set(standing.results) == {"r", "s"}

        run(main())

    def test_the_limit_is_of_all_together(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                await w.commit(1, NONE, results={"r": write(w, {"@r": np.zeros(10)})})
                await w.call(OpenRoundCall(round_number=2), CohortReply)
                with pytest.raises(WorkflowError, match="the results have 160 bytes"):
                    await w.commit(2, NONE, results={"s": write(w, {"@s": np.zeros(10)})})
                await w.commit(2, NONE, results={"r": write(w, {"@r": np.ones(12)})})

        run(main())


class TestHostileSites:
    @pytest.mark.parametrize(
        ("tensors", "problem"),
        [
            ({"@largest": None}, "group 'largest' is missing"),
            ({"@counts/n": None}, "array 'n' of group 'counts' is missing"),
            ({"@counts/more": np.zeros(1)}, "array 'more' of group 'counts' was not expected"),
            ({"w": np.zeros(1)}, "tensor 'w' was not expected"),
            ({"@counts/n": np.zeros(3, np.int64)}, "array 'n' of group 'counts' has shape"),
            ({"@counts/n": np.zeros(2, np.int32)}, "array 'n' of group 'counts' has dtype int32"),
            ({"@counts/sum": np.array(np.nan)}, "a NaN or an infinity in array 'sum' of group 'counts'"),
            ({"@largest": np.array(5.5)}, "group 'largest' has a number outside of -5 to 5"),
        ],
    )
    @pytest.mark.parametrize("upload", [[], ["zstd"], ["int8", "zstd"]])
    def test_an_answer_with_other_groups_is_refused(
        self,
        upload: list[str],
        tensors: dict[str, Any],
        problem: str,
        fixture: FederationFixture,
        run: Run,
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN, compression={"upload": upload}) as w:
                await begun(w)
                asked = await w.asking(counting(w))
                sent = {name: array for name, array in (COUNTED | tensors).items() if array is not None}
                file = fixture.bring("a", sent)
                with pytest.raises(HanseError) as refused:
                    await fixture.hand_in(fixture.outcome(w.run_id, "a", update=file, **beside(w)))
                assert problem in str(refused.value)
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

        run(main())

    @pytest.mark.parametrize(
        "lie",
        [
            {"groups": {}},
            {"groups": {"edges": "f" * 64}},
            {"settings": {"scale": 1.0}},
            {"cells": ("north",)},
        ],
    )
    def test_so_is_one_to_another_question(
        self, lie: dict[str, Any], fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, **PLAN) as w:
                await begun(w)
                asked = await w.asking(counting(w))
                file = fixture.bring("a", COUNTED)
                with pytest.raises(ProtocolError, match="belongs to another run, plan, model or groups"):
                    await fixture.hand_in(fixture.outcome(w.run_id, "a", update=file, **(beside(w) | lie)))
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

        run(main())


def test_individual_groups_are_given_by_site(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with worker(fixture, **PLAN) as w:
            await begun(w)
            asked = await w.asking(exchange("ask", "show", NONE))
            for site in "ab":
                file = fixture.bring(site, {"@largest": np.array(1.0)})
                await fixture.hand_in(fixture.outcome(w.run_id, site, update=file))
            reply = await asked
            assert isinstance(reply, AnswersReply)
            assert [answer.site for answer in reply.answers] == ["a", "b"]
            assert reply.answers[0].update is not None
            assert float(open_file(w.workspace.inbox / reply.answers[0].update)["@largest"]) == 1.0

    run(main())
