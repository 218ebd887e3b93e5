"""What a run worker's commits and streams come to, and how it ends."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.blobs import named, put
from tests.fake_sites import until
from tests.federations import FederationFixture
from tests.unit.aggregator.run_workers import FIRST, INDIVIDUALLY, Run, Worker, all_answer, exchange, worker

from hanse.aggregator.run_worker.protocol import (
    AnswersReply,
    CohortReply,
    FailCall,
    FinishCall,
    NextCall,
    OpenRoundCall,
    StandingCall,
    StandingReply,
    WorkerModel,
)
from hanse.core.run.run import Phase
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.errors import RunError, WorkflowError
from hanse.wire.messages.members import RemoveRequest
from hanse.wire.tensors import encode


class TestCommit:
    def test_what_a_round_needed_is_gone_with_its_commit(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                asked = await w.asking(exchange())
                await all_answer(w)
                await asked
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}))
                updates = [named(encode({"w": np.full(3, value, np.float32)})) for value in (2.0, 3.0)]
                assert not any(fixture.blobs.has(digest) for digest in updates)
                assert sorted(path.stem[:4] for path in w.workspace.inbox.iterdir()) == [
                    named(encode({"w": np.ones(3, np.float32)}))[:4]
                ]

        run(main())

    def test_the_plans_model_stays(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}))
                assert FIRST.ref is not None
                assert fixture.blobs.has(FIRST.ref.digest)

        run(main())

    def test_a_candidate_that_was_not_committed_is_gone_too(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                candidate = {"w": np.full(3, 9.0, np.float32)}
                with pytest.raises(WorkflowError, match="before its turn"):
                    await w.host.handle(exchange(model=w.written(candidate), index=5))
                assert fixture.blobs.has(named(encode(candidate)))
                await w.commit(1, FIRST)
                assert not fixture.blobs.has(named(encode(candidate)))

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
        self, model: Parameters, words: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                with pytest.raises(WorkflowError, match=words):
                    await w.commit(1, w.written(model))
                assert fixture.run(w.run_id).committed == 0

        run(main())

    def test_a_first_model_may_not_have_a_nan(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, initial={"w": np.full(3, np.nan, np.float32)}) as w:
                standing = await w.call(StandingCall(), StandingReply)
                with pytest.raises(WorkflowError, match="first model has a NaN in tensor 'w'"):
                    await w.commit(0, WorkerModel(ref=standing.ref))

        run(main())

    def test_infinities_of_the_first_model_may_stay_and_no_others_come(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            mask = {"w": np.array([0, -np.inf, -np.inf], np.float32)}
            async with worker(fixture, initial=mask) as w:
                standing = await w.call(StandingCall(), StandingReply)
                await w.commit(0, WorkerModel(ref=standing.ref))
                await w.call(OpenRoundCall(round_number=1), CohortReply)
                with pytest.raises(WorkflowError, match="infinity in tensor 'w' that the model before"):
                    await w.commit(1, w.written({"w": np.full(3, -np.inf, np.float32)}))
                await w.commit(1, w.written({"w": np.array([3, -np.inf, -np.inf], np.float32)}))
                assert fixture.run(w.run_id).committed == 1

        run(main())

    def test_a_model_that_the_run_does_not_have_is_refused(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                other = put(fixture.blobs, encode({"w": np.full(3, 4.0, np.float32)}))
                with pytest.raises(WorkflowError, match="that this run does not have"):
                    await w.commit(0, WorkerModel(ref=ModelRef(other)))

        run(main())

    def test_the_model_of_an_exchange_is_committed_by_its_digest(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.in_round()
                candidate = {"w": np.full(3, 9.0, np.float32)}
                asked = await w.asking(exchange("ask", "evaluate", w.written(candidate)))
                for name in "abc":
                    await fixture.hand_in(fixture.outcome(w.run_id, name))
                await asked
                standing = await w.commit(1, WorkerModel(ref=ModelRef(named(encode(candidate)))))
                assert w.read(standing.model) == [9.0, 9.0, 9.0]

        run(main())

    def test_a_commit_done_again_changes_nothing(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                model = {"w": np.ones(3, np.float32)}
                await w.commit(1, w.written(model))
                events = fixture.controller(w.run_id).events
                standing = await w.again().commit(1, WorkerModel(ref=ModelRef(named(encode(model)))))
                assert (standing.committed, fixture.controller(w.run_id).events) == (1, events)

        run(main())

    def test_early_stop_completes_the_run(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            rule = {"metric": "loss", "mode": "min", "patience": 1}
            async with worker(fixture, rounds=9, early_stop=rule) as w:
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
        run = w.fixture.run(w.run_id)
        update = w.fixture.bring(name, {"w": np.full(3, number, np.float32)})
        asked = run.exchanges[number]
        said = w.fixture.outcome(w.run_id, name, update=update, exchange=number)
        said = said.model_copy(update={"round_number": asked.round_number, "model": asked.model})
        await w.fixture.hand_in(said)

    def test_updates_come_in_the_order_of_the_journal(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(fixture.run(w.run_id).stream()) == 3)
                await self.answer(w, 3, "c")
                assert await waiting == (3, "c", 0)
                await self.answer(w, 1, "a")
                assert await self.next(w, 3) == (1, "a", 0)
                again = w.again()
                assert [await self.next(again), await self.next(again, 3)] == [(3, "c", 0), (1, "a", 0)]

        run(main())

    def test_a_site_is_asked_again_once_its_update_was_taken(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(fixture.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await waiting
                waiting = asyncio.create_task(self.next(w, 1))
                await until(lambda: fixture.run(w.run_id).last_exchange == 4)
                assert fixture.run(w.run_id).exchanges[4].members.keys() == {"a"}
                waiting.cancel()

        run(main())

    def test_an_update_ages_with_every_commit(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(fixture.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await waiting
                await w.commit(1, w.written({"w": np.ones(3, np.float32)}), consumed=(1,))
                await self.answer(w, 2, "b")
                assert await self.next(w) == (2, "b", 1)

        run(main())

    def test_a_commit_leaves_what_it_did_not_consume(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture, tasks=INDIVIDUALLY) as w:
                await w.commit(0, FIRST)
                waiting = asyncio.create_task(self.next(w))
                await until(lambda: len(fixture.run(w.run_id).stream()) == 3)
                await self.answer(w, 1, "a")
                await self.answer(w, 2, "b")
                await waiting
                await w.commit(1, FIRST, consumed=(1,))
                left = [named(encode({"w": np.full(3, value, np.float32)})) for value in (1.0, 2.0)]
                assert [fixture.blobs.has(digest) for digest in left] == [False, True]

        run(main())


class TestEnds:
    def test_the_functions_return_finishes_the_run(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.in_round()
                await w.host.handle(FinishCall())
                assert fixture.run(w.run_id).phase is Phase.FINISHED

        run(main())

    def test_its_failure_fails_the_run_with_its_reason(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with worker(fixture) as w:
                await w.host.handle(FailCall(error="workflow", reason="no luck"))
                assert (fixture.run(w.run_id).phase, fixture.run(w.run_id).reason) == (
                    Phase.FAILED,
                    "no luck",
                )

        run(main())

    def test_a_round_that_too_few_sites_can_take_part_in_fails_the_run(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with worker(fixture, cohort={"minimum": 3}) as w:
                await w.commit(0, FIRST)
                await fixture.service.member_requests.remove(fixture.operator, "c", RemoveRequest())
                with pytest.raises(RunError, match="needs 3 sites, 2 take part"):
                    await w.host.handle(OpenRoundCall(round_number=1))

        run(main())
