"""A run worker's calls, carried out on the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.federations import INDIVIDUAL, MODEL, Grounds, until

from hanse.aggregator.calls import (
    AnswersReply,
    Call,
    CohortReply,
    CommitCall,
    ExchangeCall,
    FailCall,
    FinishCall,
    ModelRef,
    NextCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    SumReply,
)
from hanse.aggregator.hosting import WorkflowHost
from hanse.aggregator.workspace import Workspace
from hanse.core.canonical import sha256
from hanse.core.commands import Stop
from hanse.core.events import UpdatesAggregated
from hanse.core.parameters import Parameters
from hanse.core.plan import INITIALISE, Strict
from hanse.core.run import Phase
from hanse.errors import DisclosureError, RunError, UpdateError, WorkflowError
from hanse.wire.tensors import encode, open_file, write_file

Run = Callable[[Any], Any]
R = TypeVar("R", bound=Strict)

FIRST = ModelRef(digest=sha256(encode(MODEL)))
INDIVIDUALLY = {"train": {"discloses": INDIVIDUAL}, "evaluate": {"discloses": {"metrics": ["loss"]}}}


class Worker:
    """A run worker whose calls the test makes; `again` is what starts after it was killed."""

    def __init__(self, grounds: Grounds, run_id: str) -> None:
        self.grounds = grounds
        self.run_id = run_id
        controller, retention = grounds.controller(run_id), grounds.service._keeper.retention
        self.workspace = Workspace(grounds.options.runs / run_id, grounds.blobs, max_bytes=10**6)
        self.host = WorkflowHost(controller, grounds.blobs, retention, self.workspace)

    def again(self) -> Worker:
        return Worker(self.grounds, self.run_id)

    async def call(self, call: Call, kind: type[R]) -> R:
        reply = await self.host.handle(call)
        assert isinstance(reply, kind)
        return reply

    def written(self, parameters: Parameters, name: str = "1.safetensors") -> ModelRef:
        write_file(self.workspace.outbox / name, parameters)
        return ModelRef(file=name)

    def read(self, name: str | None) -> list[float]:
        assert name is not None
        values: list[float] = open_file(self.workspace.inbox / name)["w"].tolist()
        return values

    async def commit(self, number: int, model: ModelRef, **more: Any) -> StandingReply:
        call = CommitCall(
            round_number=number, model=model, **{"metrics": {}, "state": None, "consumed": ()} | more
        )
        return await self.call(call, StandingReply)

    async def in_round(self, number: int = 1) -> Worker:
        """With the plan's model committed and a round open."""
        await self.commit(0, FIRST)
        await self.call(OpenRoundCall(round_number=number), CohortReply)
        return self

    async def asking(self, call: ExchangeCall) -> asyncio.Task[Strict | None]:
        """Ask, and come back as soon as the sites have been asked."""
        task = asyncio.create_task(self.host.handle(call))
        known = self.grounds.run(self.run_id).last_exchange
        await until(lambda: self.grounds.run(self.run_id).last_exchange > known or task.done())
        return task


def exchange(kind: str = "sum", task: str = "train", model: ModelRef = FIRST, **more: Any) -> ExchangeCall:
    said = {"call": kind, "round_number": 1, "index": 0, "task": task, "model": model}
    return ExchangeCall.model_validate(said | more)


@asynccontextmanager
async def worker(grounds: Grounds, **plan: Any) -> AsyncIterator[Worker]:
    """A worker of a run that all sites accepted."""
    async with grounds.serving():
        run_id = await grounds.submit(**{"initial": MODEL, **plan})
        await grounds.accepted(run_id)
        yield Worker(grounds, run_id)


async def all_answer(worker: Worker, **changes: Any) -> None:
    """The sites answer 1, 2 and 3, in an order that is not theirs."""
    for value, name in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
        await worker.grounds.answered(worker.run_id, name, value, **changes)


class TestStanding:
    def test_before_the_first_commit_the_plans_model_is_lent(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                standing = await w.call(StandingCall(), StandingReply)
                assert (standing.committed, standing.digest) == (-1, FIRST.digest)
                assert w.read(standing.model) == [0.0, 0.0, 0.0]
                assert (standing.complete, standing.population) == (False, ("a", "b", "c"))

        run(main())

    def test_without_one_there_is_no_model_at_first(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, initial=None) as w:
                standing = await w.call(StandingCall(), StandingReply)
                assert (standing.committed, standing.digest, standing.model) == (-1, None, None)

        run(main())

    def test_a_commit_leaves_model_and_state_for_the_next(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, rounds=1) as w:
                await w.in_round()
                model, state = w.written({"w": np.ones(3, np.float32)}), "2.safetensors"
                w.written({"w": np.full(1, 7.0)}, state)
                standing = await w.commit(1, model, state=state, metrics={"loss": 0.5})
                assert (w.read(standing.model), w.read(standing.state)) == ([1.0, 1.0, 1.0], [7.0])
                assert standing.complete
                assert await w.again().call(StandingCall(), StandingReply) == standing

        run(main())


class TestSum:
    def test_the_sum_is_taken_in_site_order_and_weighted(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await w.grounds.answered(w.run_id, "b", 2.0, num_examples=30)
                await w.grounds.answered(w.run_id, "c", 5.0, num_examples=0)
                await w.grounds.answered(w.run_id, "a", 1.0, num_examples=10)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.num_examples, reply.sites) == (40, ("a", "b", "c"))
                assert w.read(reply.delta) == [1.75, 1.75, 1.75]

        run(main())

    def test_the_rule_mean_weighs_all_sites_alike(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, aggregation={"rule": "mean"}) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await w.grounds.answered(w.run_id, "a", 1.0, num_examples=1)
                await w.grounds.answered(w.run_id, "b", 2.0, num_examples=1)
                await w.grounds.answered(w.run_id, "c", 6.0, num_examples=98)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert w.read(reply.delta) == [3.0, 3.0, 3.0]

        run(main())

    def test_a_worker_that_begins_again_gets_the_same_sum_without_asking(
        self, grounds: Grounds, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                first = await asked
                again = w.again()
                await again.call(OpenRoundCall(round_number=1), CohortReply)
                second = await again.call(exchange(), SumReply)
                recorded = [e for e in grounds.events(w.run_id) if isinstance(e, UpdatesAggregated)]
                assert first == second
                assert len(recorded) == 1
                assert second.delta is not None
                content = (again.workspace.inbox / second.delta).read_bytes()
                assert recorded[0].aggregate == sha256(content)

        run(main())

    def test_updates_that_are_disclosed_one_by_one_have_a_sum_too(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                asked = await w.asking(exchange(sites=("a", "b")))
                for name, value in (("a", 1.0), ("b", 2.0)):
                    await w.grounds.answered(w.run_id, name, value)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert reply.sites == ("a", "b")

        run(main())

    def test_an_evaluation_has_metrics_and_no_delta(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange(task="evaluate"))
                for name in "abc":
                    said = grounds.outcome(w.run_id, name, metrics={"loss": 0.5})
                    await grounds.hand_in(said)
                reply = await asked
                assert isinstance(reply, SumReply)
                assert (reply.metrics, reply.delta) == ({"loss": 0.5}, None)

        run(main())

    def test_nothing_comes_of_sites_without_examples(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w, num_examples=0)
                with pytest.raises(UpdateError, match="none of 3 sites had examples"):
                    await asked

        run(main())


class TestAsk:
    def test_updates_come_in_site_order_each_with_its_own_file(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
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

    def test_a_first_model_is_asked_of_one_site(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, initial=None) as w:
                await w.call(OpenRoundCall(round_number=0), CohortReply)
                call = exchange("ask", INITIALISE, ModelRef(), round_number=0, sites=("a",))
                asked = await w.asking(call)
                await grounds.answered(w.run_id, "a", 7.0)
                reply = await asked
                assert isinstance(reply, AnswersReply)
                assert w.read(reply.answers[0].update) == [7.0, 7.0, 7.0]

        run(main())

    def test_a_candidate_model_is_taken_in_and_sent_out(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                candidate = {"w": np.ones(3, np.float32)}
                asked = await w.asking(exchange("ask", "evaluate", w.written(candidate)))
                assert grounds.run(w.run_id).exchanges[1].model == sha256(encode(candidate))
                asked.cancel()

        run(main())

    def test_the_end_of_the_run_ends_the_wait(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await grounds.controller(w.run_id).execute(Stop("operator"))
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
        self, call: Call, grounds: Grounds, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                with pytest.raises(DisclosureError, match="only in aggregate over the cohort"):
                    await w.host.handle(call)
                assert grounds.run(w.run_id).last_exchange == 0

        run(main())

    def test_first_models_are_not_to_be_had_in_later_rounds(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                for kind in ("ask", "sum"):
                    with pytest.raises(DisclosureError, match="before the first round only"):
                        await w.host.handle(exchange(kind, INITIALISE, ModelRef(), sites=("a",)))

        run(main())

    def test_an_unknown_task_is_told_with_those_there_are(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                with pytest.raises(WorkflowError, match="tasks are: evaluate, train"):
                    await w.host.handle(exchange(task="segment"))

        run(main())


class TestCommit:
    def test_what_a_round_needed_is_gone_with_its_commit(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                await asked
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}))
                updates = [sha256(encode({"w": np.full(3, value, np.float32)})) for value in (2.0, 3.0)]
                assert not any(grounds.blobs.has(digest) for digest in updates)
                assert sorted(path.stem[:4] for path in w.workspace.inbox.iterdir()) == [
                    sha256(encode({"w": np.ones(3, np.float32)}))[:4]
                ]

        run(main())

    def test_the_plans_model_stays(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}))
                assert grounds.blobs.has(str(FIRST.digest))

        run(main())

    def test_a_candidate_that_was_not_committed_is_gone_too(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                candidate = {"w": np.full(3, 9.0, np.float32)}
                with pytest.raises(WorkflowError, match="before its turn"):
                    await w.host.handle(exchange(model=w.written(candidate), index=5))
                assert grounds.blobs.has(sha256(encode(candidate)))
                await w.commit(1, FIRST)
                assert not grounds.blobs.has(sha256(encode(candidate)))

        run(main())

    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ({"w": np.ones(4, np.float32)}, r"not like the model before it: tensor 'w' has shape \(4,\)"),
            ({"w": np.ones(3, np.float64)}, "has dtype float64"),
            ({"v": np.ones(3, np.float32)}, "tensor 'v' was not expected"),
            ({"w": np.full(3, np.nan, np.float32)}, "a NaN or an infinity in tensor 'w'"),
        ],
    )
    def test_a_model_unlike_the_one_before_is_refused(
        self, model: Parameters, words: str, grounds: Grounds, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                with pytest.raises(WorkflowError, match=words):
                    await w.commit(1, w.written(model))
                assert grounds.run(w.run_id).committed == 0

        run(main())

    def test_a_first_model_has_to_be_finite_too(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, initial={"w": np.full(3, np.inf, np.float32)}) as w:
                standing = await w.call(StandingCall(), StandingReply)
                with pytest.raises(WorkflowError, match="infinity in tensor 'w'"):
                    await w.commit(0, ModelRef(digest=standing.digest))

        run(main())

    def test_a_model_that_the_run_does_not_have_is_refused(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                other = grounds.blobs.put(encode({"w": np.full(3, 4.0, np.float32)}))
                with pytest.raises(WorkflowError, match="that this run does not have"):
                    await w.commit(0, ModelRef(digest=other))

        run(main())

    def test_the_model_of_an_exchange_is_committed_by_its_digest(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                candidate = {"w": np.full(3, 9.0, np.float32)}
                asked = await w.asking(exchange("ask", "evaluate", w.written(candidate)))
                for name in "abc":
                    await grounds.hand_in(grounds.outcome(w.run_id, name))
                await asked
                standing = await w.commit(1, ModelRef(digest=sha256(encode(candidate))))
                assert w.read(standing.model) == [9.0, 9.0, 9.0]

        run(main())

    def test_a_commit_done_again_changes_nothing(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                model = {"w": np.ones(3, np.float32)}
                await w.commit(1, w.written(model))
                events = grounds.controller(w.run_id).events
                standing = await w.again().commit(1, ModelRef(digest=sha256(encode(model))))
                assert (standing.committed, grounds.controller(w.run_id).events) == (1, events)

        run(main())

    def test_early_stop_completes_the_run(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            rule = {"metric": "loss", "mode": "min", "patience": 1}
            async with worker(grounds, rounds=9, early_stop=rule) as w:
                await w.in_round()
                first = await w.commit(1, FIRST, metrics={"loss": 0.5})
                await w.call(OpenRoundCall(round_number=2), CohortReply)
                second = await w.commit(2, FIRST, metrics={"loss": 0.6})
                assert (first.complete, second.complete) == (False, True)

        run(main())


class TestStreams:
    async def next(self, w: Worker, *taken: int) -> tuple[int, str, int]:
        reply = await w.call(NextCall(task="train", taken=taken), AnswersReply)
        (answer,) = reply.answers
        return answer.exchange, answer.site, answer.staleness

    async def answer(self, w: Worker, number: int, name: str) -> None:
        run = w.grounds.run(w.run_id)
        update = w.grounds.bring(name, {"w": np.full(3, number, np.float32)})
        asked = run.exchanges[number]
        said = w.grounds.outcome(w.run_id, name, update=update, exchange=number)
        said = said.model_copy(update={"round_number": asked.round_number, "model": asked.model})
        await w.grounds.hand_in(said)

    def test_updates_come_in_the_order_of_the_journal(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(grounds.run(w.run_id).stream()) == 3)
                await self.answer(w, 3, "c")
                assert await waiting == (3, "c", 0)
                await self.answer(w, 1, "a")
                assert await self.next(w, 3) == (1, "a", 0)
                again = w.again()
                assert [await self.next(again), await self.next(again, 3)] == [(3, "c", 0), (1, "a", 0)]

        run(main())

    def test_a_site_is_asked_again_once_its_update_was_taken(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(grounds.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await waiting
                waiting = asyncio.create_task(self.next(w, 1))
                await until(lambda: grounds.run(w.run_id).last_exchange == 4)
                assert grounds.run(w.run_id).exchanges[4].members.keys() == {"a"}
                waiting.cancel()

        run(main())

    def test_an_update_ages_with_every_commit(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(grounds.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await waiting
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}), consumed=(1,))
                await self.answer(w, 2, "b")
                assert await self.next(w) == (2, "b", 1)

        run(main())

    def test_a_commit_leaves_what_it_did_not_consume(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(grounds.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await self.answer(w, 2, "b")
                await waiting
                await w.commit(1, FIRST, consumed=(1,))
                left = [sha256(encode({"w": np.full(3, value, np.float32)})) for value in (1.0, 2.0)]
                assert [grounds.blobs.has(digest) for digest in left] == [False, True]

        run(main())


class TestEnds:
    def test_the_functions_return_finishes_the_run(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.in_round()
                await w.host.handle(FinishCall())
                assert grounds.run(w.run_id).phase is Phase.FINISHED

        run(main())

    def test_its_failure_fails_the_run_with_its_reason(self, grounds: Grounds, run: Run) -> None:
        async def main() -> None:
            async with worker(grounds) as w:
                await w.host.handle(FailCall(error="workflow", reason="no luck"))
                assert (grounds.run(w.run_id).phase, grounds.run(w.run_id).reason) == (
                    Phase.FAILED,
                    "no luck",
                )

        run(main())

    def test_a_round_that_too_few_sites_can_take_part_in_fails_the_run(
        self, grounds: Grounds, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(grounds, cohort={"minimum": 3}) as w:
                await w.commit(0, FIRST)
                await grounds.service.remove(grounds.operator, "c")
                with pytest.raises(RunError, match="needs 3 sites, 2 take part"):
                    await w.host.handle(OpenRoundCall(round_number=1))

        run(main())
