"""A run worker's calls, carried out on the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.blobs import named
from tests.federations import FederationFixture
from tests.unit.aggregator.run_workers import FIRST, INDIVIDUALLY, Run, all_answer, exchange, worker

from hanse.aggregator.run.controller import RunController
from hanse.aggregator.run_worker.protocol import (
    AnswersReply,
    Call,
    CohortReply,
    NextCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    SumReply,
    WorkerModel,
)
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.decide import Command
from hanse.core.run.events import Event
from hanse.core.run.lifecycle import Stop
from hanse.core.run.requests.commands import RecordAggregate
from hanse.core.run.round_events import UpdatesAggregated
from hanse.core.values.model_ref import ModelRef
from hanse.errors import DisclosureError, RunError, StorageError, WorkflowError
from hanse.wire.tensors import encode


class TestStanding:
    def test_before_the_first_commit_the_plans_model_is_lent(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                standing = await w.call(StandingCall(), StandingReply)
                assert (standing.committed, standing.ref) == (-1, FIRST.ref)
                assert w.read(standing.model) == [0.0, 0.0, 0.0]
                assert (standing.complete, standing.population) == (False, ("a", "b", "c"))

        run(main())

    def test_without_one_there_is_no_model_at_first(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, initial=None) as w:
                standing = await w.call(StandingCall(), StandingReply)
                assert (standing.committed, standing.ref, standing.model) == (-1, None, None)

        run(main())

    def test_a_commit_leaves_model_and_state_for_the_next(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, rounds=1) as w:
                await w.in_round()
                model, state = w.written({"w": np.ones(3, np.float32)}), "2.safetensors"
                w.written({"w": np.full(1, 7.0)}, state)
                standing = await w.commit(1, model, state=state, metrics={"loss": 0.5})
                assert (w.read(standing.model), w.read(standing.state)) == ([1.0, 1.0, 1.0], [7.0])
                assert standing.complete
                assert await w.again().call(StandingCall(), StandingReply) == standing

        run(main())


class TestAsking:
    def test_to_ask_begins_the_round(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.commit(0, FIRST)
                asked = await w.asking(exchange())
                await all_answer(w)
                await asked
                assert fixture.run(w.run_id).round_open == 1

        run(main())

    def test_a_round_before_its_turn_is_refused(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.commit(0, FIRST)
                with pytest.raises(WorkflowError, match="opened round 2; the next round is 1"):
                    await w.host.handle(exchange(round_number=2))

        run(main())


class TestSum:
    def test_the_sum_is_taken_in_site_order_and_weighted(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await w.fixture.answered(w.run_id, "b", 2.0, num_examples=30)
                await w.fixture.answered(w.run_id, "c", 5.0, num_examples=0)
                await w.fixture.answered(w.run_id, "a", 1.0, num_examples=10)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.num_examples, reply.sites) == (40, ("a", "b", "c"))
                assert w.read(reply.file) == [1.75, 1.75, 1.75]

        run(main())

    def test_the_largest_metrics_of_sites_with_the_most_examples_have_a_mean(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w, num_examples=10**12, metrics={"loss": 1.7e308})
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.num_examples, reply.metrics) == (3 * 10**12, {"loss": 1.7e308})
                await w.commit(1, FIRST, metrics=reply.metrics)

        run(main())

    @pytest.mark.parametrize(
        ("aggregation", "expected"),
        [
            ({"rule": "mean"}, 3.0),
            ({"rule": "median"}, 2.0),
            ({"rule": "trimmed_mean", "trim": 0.34}, 2.0),
            ({"rule": "trimmed_mean", "trim": 0.33}, 3.0),
        ],
    )
    def test_other_rules_weigh_all_sites_alike(
        self, fixture: FederationFixture, run: Run, aggregation: dict[str, Any], expected: float
    ) -> None:
        async def main() -> None:
            async with worker(fixture, aggregation=aggregation) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await w.fixture.answered(w.run_id, "a", 1.0, num_examples=1)
                await w.fixture.answered(w.run_id, "b", 2.0, num_examples=1)
                await w.fixture.answered(w.run_id, "c", 6.0, num_examples=98)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert w.read(reply.file) == [expected] * 3

        run(main())

    def test_a_worker_that_begins_again_gets_the_same_sum_without_asking(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                first = await asked
                again = w.again()
                await again.call(OpenRoundCall(round_number=1), CohortReply)
                second = await again.call(exchange(), SumReply)
                assert second.file is not None
                content = (again.workspace.inbox / second.file).read_bytes()
                await again.commit(1, FIRST)
                recorded = [e for e in fixture.events(w.run_id) if isinstance(e, UpdatesAggregated)]
                assert first == second
                assert len(recorded) == 1
                assert recorded[0].aggregate == named(content)

        run(main())

    def test_which_sum_a_worker_was_given_is_written_down_before_what_it_does_next(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, rounds=1) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                await asked
                await w.commit(1, FIRST)
                kinds = [event.kind for event in fixture.events(w.run_id)]
                assert kinds[-2:] == ["UpdatesAggregated", "RoundCommitted"]

        run(main())

    def test_nothing_that_a_worker_does_next_counts_where_its_sum_cannot_be_written_down(
        self, fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execute = RunController.execute

        async def disk_full(self: RunController, *commands: Command) -> tuple[Event, ...]:
            if isinstance(commands[0], RecordAggregate):
                raise StorageError("the disk is full")
            return await execute(self, *commands)

        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                monkeypatch.setattr(RunController, "execute", disk_full)
                await asked
                with pytest.raises(StorageError, match="the disk is full"):
                    await w.commit(1, FIRST)
                assert fixture.run(w.run_id).committed == 0

        run(main())

    def test_updates_that_are_disclosed_one_by_one_have_a_sum_too(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                asked = await w.asking(exchange(sites=("a", "b")))
                for name, value in (("a", 1.0), ("b", 2.0)):
                    await w.fixture.answered(w.run_id, name, value)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert reply.sites == ("a", "b")

        run(main())

    def test_an_evaluation_has_metrics_and_no_delta(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange(task="evaluate"))
                for name in "abc":
                    said = fixture.outcome(w.run_id, name, metrics={"loss": 0.5})
                    await fixture.hand_in(said)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.metrics, reply.file) == ({"loss": 0.5}, None)

        run(main())

    def test_nothing_comes_of_sites_without_examples(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w, num_examples=0)
                with pytest.raises(RunError, match=r"3 had no examples; .* a sum needs 1 with examples"):
                    await asked

        run(main())


class TestAsk:
    def test_updates_come_in_site_order_each_with_its_own_file(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                asked = await w.asking(exchange("ask"))
                await all_answer(w, metrics={"loss": 0.5})
                reply = await asked
                assert isinstance(reply, AnswersReply)
                assert [(a.site, w.read(a.update)[0]) for a in reply.answers] == [
                    ("a", 1.0),
                    ("b", 2.0),
                    ("c", 3.0),
                ]
                assert reply.answers[0].metrics == {"loss": 0.5}

        run(main())

    def test_a_first_model_is_asked_of_one_site(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, initial=None) as w:
                await w.call(OpenRoundCall(round_number=0), CohortReply)
                call = exchange("ask", INITIALISE, WorkerModel(), round_number=0, sites=("a",))
                asked = await w.asking(call)
                await fixture.answered(w.run_id, "a", 7.0)
                reply = await asked
                assert isinstance(reply, AnswersReply)
                assert w.read(reply.answers[0].update) == [7.0, 7.0, 7.0]

        run(main())

    def test_a_candidate_model_is_taken_in_and_sent_out(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                candidate = {"w": np.ones(3, np.float32)}
                asked = await w.asking(exchange("ask", "evaluate", w.written(candidate)))
                assert fixture.run(w.run_id).exchanges[1].model == ModelRef(named(encode(candidate)))
                asked.cancel()

        run(main())

    def test_the_end_of_the_run_ends_the_wait(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await fixture.controller(w.run_id).execute(Stop("operator"))
                with pytest.raises(RunError, match="stopped by an operator"):
                    await asked

        run(main())


class TestDisclosure:
    @pytest.mark.parametrize(
        "call",
        [
            exchange("ask"),
            exchange("sum", sites=("a",)),
            NextCall(task="train", taken=()),
        ],
        ids=["each update", "a sum over one site", "a stream"],
    )
    def test_what_is_disclosed_in_aggregate_is_not_to_be_had_one_by_one(
        self, call: Call, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                with pytest.raises(DisclosureError, match="only in aggregate over the cohort"):
                    await w.host.handle(call)
                assert fixture.run(w.run_id).last_exchange == 0

        run(main())

    def test_a_sum_over_few_is_not_to_be_had_before_the_first_round(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                with pytest.raises(DisclosureError, match="before the first round a first model"):
                    await w.host.handle(exchange(round_number=0))
                assert fixture.run(w.run_id).last_exchange == 0

        run(main())

    def test_what_leaves_too_few_answers_gives_no_sum(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, cohort={"minimum": 3, "quorum": 0.1}) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await fixture.answered(w.run_id, "a")
                failed = fixture.outcome(w.run_id, "b", outcome="failed", reason="no memory", num_examples=0)
                await fixture.hand_in(failed)
                with pytest.raises(RunError, match="1 of 3 sites answered; 3 are needed"):
                    await asked
                kinds = {event.kind for event in fixture.events(w.run_id)}
                assert not kinds & {"ExchangeClosed", "UpdatesAggregated"}

        run(main())

    def test_a_site_is_not_asked_once_more_than_the_plan_says(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                await asked
                with pytest.raises(WorkflowError, match="in 2 exchanges of round 1") as refused:
                    await w.host.handle(exchange(index=1))
                assert "`tasks: {train: {exchanges: 2}}`" in refused.value.mend

        run(main())

    def test_first_models_are_not_to_be_had_in_later_rounds(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                for kind in ("ask", "sum"):
                    with pytest.raises(DisclosureError, match="before the first round only"):
                        await w.host.handle(exchange(kind, INITIALISE, WorkerModel(), sites=("a",)))

        run(main())

    def test_an_unknown_task_is_told_with_those_there_are(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                with pytest.raises(WorkflowError, match="tasks are: evaluate, train"):
                    await w.host.handle(exchange(task="segment"))

        run(main())
