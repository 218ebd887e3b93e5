"""All runs: taken up, driven, let go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.blobs import named, put
from tests.fake_sites import fake_sites, until, until_phase
from tests.federations import MODEL, FederationFixture
from tests.stand_ins import IdleSupervisor, ThreadWorker

from hanse.core.run.lifecycle import Fail, Finish, Stop
from hanse.core.run.requests.commands import Commit
from hanse.core.run.run import TERMINAL, Phase
from hanse.core.values.canonical import sha256
from hanse.core.values.model_ref import ModelRef
from hanse.errors import RunError
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]


class TestRestart:
    async def submitted(self, fixture: FederationFixture) -> str:
        return await fixture.submit()

    async def asked(self, fixture: FederationFixture) -> str:
        run_id = await fixture.asked()
        await fixture.answered(run_id, "a")
        return run_id

    async def committed(self, fixture: FederationFixture) -> str:
        run_id = await fixture.asked()
        await fixture.controller(run_id).execute(Commit(1, ModelRef(sha256(encode(MODEL)))))
        return run_id

    @pytest.mark.parametrize("phase", ["submitted", "asked", "committed"])
    def test_a_run_under_way_is_taken_up_where_it_stood(
        self, phase: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await getattr(self, phase)(fixture)
                before = fixture.run(run_id)
                await fixture.restart()
                after = fixture.run(run_id)
                assert fixture.events(run_id)[-1].kind == "RunRecovered"
                assert (after.phase, after.committed, after.model) == (
                    before.phase,
                    before.committed,
                    before.model,
                )
                answered = [exchange.answered for exchange in after.exchanges.values()]
                assert answered == [exchange.answered for exchange in before.exchanges.values()]

        run(main())

    @pytest.mark.parametrize("end", [Finish(), Fail("workflow", "boom"), Stop("operator")])
    def test_a_run_that_is_over_stays_so(
        self, end: Finish | Fail | Stop, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                await fixture.controller(run_id).execute(end)
                before = fixture.run(run_id)
                await fixture.restart()
                assert fixture.run(run_id) == before
                assert fixture.service._run_registry._tasks == {}

        run(main())

    def test_what_a_commit_left_just_before_the_crash_is_deleted(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                await fixture.answered(run_id, "a")
                new = put(fixture.blobs, encode({"w": np.full(3, 8.0, np.float32)}))
                # Without the workflow's host: as if the aggregator had ended right after it.
                await fixture.controller(run_id).execute(Commit(1, ModelRef(new)))
                update = named(encode({"w": np.ones(3, np.float32)}))
                assert fixture.blobs.has(update)
                await fixture.restart()
                assert not fixture.blobs.has(update)
                assert fixture.blobs.has(new)

        run(main())

    def test_what_a_worker_left_when_the_machine_failed_is_deleted(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                await fixture.controller(run_id).execute(Finish())
                left = fixture.options.runs / run_id / "life-x" / "in"
                left.mkdir(parents=True)
                await fixture.restart()
                assert not left.parent.exists()

        run(main())

    def test_a_stopped_run_is_resumed_after_a_restart(self, working: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working) as sites:
                stop = asyncio.Event()
                sites["a"].before_result = lambda exchange: stop.set()
                run_id = await working.submit()
                await until(stop.is_set)
                await working.controller(run_id).execute(Stop("operator"))
                service = await working.restart()
                await service.run_requests.resume(working.operator, run_id)
                assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED

        run(main())


class TestDriving:
    def test_a_failed_run_is_resumed_and_asks_the_failed_site_again(
        self, working: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with working.serving() as service:
                run_id = await working.submit(initial=MODEL)
                await working.accepted(run_id)
                await until(lambda: working.run(run_id).exchanges)
                await working.hand_in(working.outcome(run_id, "a", outcome="failed", reason="out of memory"))
                failed = await until_phase(working, run_id, Phase.FAILED)
                assert "a: out of memory" in failed.reason
                await service.run_requests.resume(working.operator, run_id)
                async with fake_sites(working):
                    assert (await until_phase(working, run_id, *TERMINAL)).phase is Phase.FINISHED
                assert len(ThreadWorker.started) == 2

        run(main())

    def test_of_two_operators_who_resume_at_once_one_does(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked()
                await fixture.controller(run_id).execute(Stop("operator"))
                replies = await asyncio.gather(
                    *(service.run_requests.resume(fixture.operator, run_id) for _ in range(2)),
                    return_exceptions=True,
                )
                assert sorted(type(reply).__name__ for reply in replies) == ["RunError", "RunStatus"]
                assert len(fixture.service._run_registry._tasks) == 1

        run(main())

    def test_several_runs_go_on_at_one_time(self, working: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with working.serving(), fake_sites(working):
                run_ids = [await working.submit(rounds=1) for _ in range(3)]
                ended = [await until_phase(working, run_id, *TERMINAL) for run_id in run_ids]
                assert {run.phase for run in ended} == {Phase.FINISHED}
                assert len({run.model for run in ended}) == 1

        run(main())

    def test_a_fault_of_the_aggregator_fails_the_run_and_says_so(
        self,
        fixture: FederationFixture,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def broken(_self: IdleSupervisor) -> None:
            raise ZeroDivisionError("a fault of ours")

        monkeypatch.setattr(IdleSupervisor, "supervise", broken)

        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.submit()
                ended = await until_phase(fixture, run_id, *TERMINAL)
                assert ended.phase is Phase.FAILED
                assert ended.reason == (
                    "the aggregator met an unforeseen ZeroDivisionError; its log has the trace"
                )

        with caplog.at_level(logging.ERROR):
            run(main())

        assert "ZeroDivisionError" in caplog.text

    def test_nothing_is_left_running_when_it_closes(self, working: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with working.serving():
                for _ in range(2):
                    await working.accepted(await working.submit())
                await until(lambda: len(ThreadWorker.started) == 2)
            assert working.service._run_registry._tasks == {}
            assert not any(worker._thread.is_alive() for worker in ThreadWorker.started)

        run(main())


def test_an_unknown_run_is_told_as_such(fixture: FederationFixture) -> None:
    with pytest.raises(RunError, match="no run 'demo-1'"):
        fixture.controller("demo-1")


def test_the_log_says_whom_a_silent_run_waits_for(
    fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hanse.aggregator.run.wait_log._SILENCE_S", 0.01)

    async def main() -> None:
        async with fixture.serving(), asyncio.timeout(20):
            run_id = await fixture.asked()
            await fixture.answered(run_id, "a")
            while f"run {run_id} waits for b (train, asked since 20" not in caplog.text:
                await asyncio.sleep(0.01)
            assert "; c (train, asked since 20" in caplog.text

    with caplog.at_level(logging.INFO):
        run(main())
