"""Places of task workers in virtual time, with stand-ins for the processes."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deterministic.virtual_loop import VirtualLoop

from hanse.collaborator.task_worker.places import ENDING_S, WorkerPlaces

IDLE_S = 60.0

Run = Callable[[Coroutine[Any, Any, None]], None]


class StandIn:
    """In place of a worker process.

    Attributes:
        state: `here`, `ending` once it is told to end, `ended`.
        ended_at: When it ended.
    """

    def __init__(self, ends_in_s: float) -> None:
        self.state = "here"
        self.ended_at = 0.0
        self._ends_in_s = ends_in_s

    async def stop(self, grace_s: float = 5.0) -> str:
        self.state = "ending"
        await asyncio.sleep(min(self._ends_in_s, grace_s))
        self.state, self.ended_at = "ended", asyncio.get_running_loop().time()
        return "ended" if self._ends_in_s <= grace_s else "was stopped"


class Site:
    """Workers of a site whose tasks take some time, as its agent handles them."""

    def __init__(self, most: int = 4, idle_s: float | None = IDLE_S, ends_in_s: float = 0.1) -> None:
        self.places = WorkerPlaces(most)
        self.started: list[StandIn] = []
        self._idle_s = idle_s
        self._ends_in_s = ends_in_s
        self._most = most
        self._turns = asyncio.Semaphore(most)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def here(self) -> int:
        """Workers that have not ended."""
        return sum(worker.state != "ended" for worker in self.started)

    async def order(self, run_id: str = "demo-1", lasts_s: float = 1.0) -> StandIn:
        """Perform a task; the worker that did."""
        async with self._locks[run_id], self._turns:
            taken: Any = await self.places.take(run_id)
            worker: Any = taken or await self.places.start(run_id, self._start)
            assert worker.state == "here"
            try:
                await asyncio.sleep(lasts_s)
            except BaseException:
                await self.places.end(run_id, worker, grace_s=0)
                raise
            assert worker.state == "here"
            self.places.keep(run_id, worker, self._idle_s)
            return worker  # type: ignore[no-any-return]

    async def end_run(self, run_id: str = "demo-1") -> None:
        async with self._locks[run_id]:
            await self.places.end_run(run_id)

    async def _start(self) -> Any:
        assert self.here < self._most
        self.started.append(worker := StandIn(self._ends_in_s))
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            worker.state = "ended"
            raise
        return worker


def loop_of(seed: int) -> VirtualLoop:
    return VirtualLoop(Random(seed), dies=lambda process, place: False)


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a scenario in virtual time."""
    loop = loop_of(0)
    yield loop.run_until_complete
    faults = list(loop.faults)
    loop.end()
    assert not faults


def timers() -> int:
    """Timers that are set."""
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_an_idle_worker_is_ended_after_its_time_and_not_before(run: Run) -> None:
    async def scenario() -> None:
        site = Site()
        worker = await site.order()
        kept = now()
        await asyncio.sleep(IDLE_S - 1)
        assert worker.state == "here"
        await asyncio.sleep(2)

        assert worker.state == "ended"
        assert worker.ended_at == pytest.approx(kept + IDLE_S + 0.1)

    run(scenario())


def test_without_a_limit_a_worker_is_kept(run: Run) -> None:
    async def scenario() -> None:
        site = Site(idle_s=None)
        worker = await site.order()
        await asyncio.sleep(10**6)

        assert await site.order() is worker

    run(scenario())


def test_a_task_begins_the_time_anew(run: Run) -> None:
    async def scenario() -> None:
        site = Site()
        for _ in range(5):
            worker = await site.order()
            await asyncio.sleep(IDLE_S - 1)

        assert (site.started, worker.state) == ([worker], "here")

    run(scenario())


def test_the_time_of_a_task_does_not_count(run: Run) -> None:
    async def scenario() -> None:
        site = Site()
        await site.order()
        worker = await site.order(lasts_s=10 * IDLE_S)

        assert site.started == [worker]

    run(scenario())


def test_the_next_task_starts_another_worker(run: Run) -> None:
    async def scenario() -> None:
        site = Site()
        first = await site.order()
        await asyncio.sleep(IDLE_S + 1)

        assert await site.order() is not first

    run(scenario())


def test_a_task_that_comes_while_the_worker_ends_waits_for_that(run: Run) -> None:
    async def scenario() -> None:
        site = Site(ends_in_s=10)
        first = await site.order()
        await asyncio.sleep(IDLE_S + 1)
        assert first.state == "ending"

        second = await site.order(lasts_s=1)

        assert first.state == "ended"
        assert second is not first
        assert now() == pytest.approx(first.ended_at + 0.5 + 1)

    run(scenario())


def test_a_task_that_is_cancelled_while_it_waits_leaves_the_end_as_it_is(run: Run) -> None:
    async def scenario() -> None:
        site = Site(ends_in_s=10)
        first = await site.order()
        await asyncio.sleep(IDLE_S + 1)
        order = asyncio.create_task(site.order())
        await asyncio.sleep(1)
        order.cancel()
        await asyncio.sleep(10)

        assert first.state == "ended"
        assert (await site.order()).state == "here"

    run(scenario())


def test_code_that_does_not_end_is_stopped_after_its_grace(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        site = Site(ends_in_s=10**6)
        worker = await site.order()
        kept = now()
        await asyncio.sleep(IDLE_S + ENDING_S + 1)
        assert worker.ended_at == pytest.approx(kept + IDLE_S + ENDING_S)

    run(scenario())

    assert caplog.messages == [
        "run demo-1: its worker was stopped after 1m without a task, as `worker: {idle: 1m}` says; the run's "
        "next task starts another"
    ]


def test_the_end_of_a_run_leaves_no_timer(run: Run) -> None:
    async def scenario() -> None:
        site = Site()
        worker = await site.order()
        await site.end_run()

        assert worker.state == "ended"
        assert timers() == 0

    run(scenario())


def test_a_run_that_ends_while_its_worker_does_waits_for_that(run: Run) -> None:
    async def scenario() -> None:
        site = Site(ends_in_s=10)
        worker = await site.order()
        await asyncio.sleep(IDLE_S + 1)
        await site.end_run()

        assert (worker.state, now()) == ("ended", worker.ended_at)

    run(scenario())


def test_closing_ends_all_at_once_and_leaves_no_timer(run: Run) -> None:
    async def scenario() -> None:
        site = Site(ends_in_s=30)
        await site.order("demo-1")
        await asyncio.sleep(IDLE_S - 1)
        await site.order("demo-2")
        await asyncio.sleep(1)
        assert [worker.state for worker in site.started] == ["ending", "here"]
        begun = now()
        await site.places.close()

        assert (site.here, now(), timers()) == (0, begun, 0)

    run(scenario())


def test_where_there_is_one_place_each_run_waits_for_the_end_of_the_other(run: Run) -> None:
    async def scenario() -> None:
        site = Site(most=1, ends_in_s=3)
        await asyncio.gather(*(site.order(f"demo-{number}") for number in range(3)))
        assert site.here == 1
        await asyncio.sleep(IDLE_S + 1)
        assert site.here == 1  # it is being ended
        await site.order("demo-0")

        assert site.here == 1

    run(scenario())


def test_a_run_that_ends_slowly_keeps_its_place_meanwhile(run: Run) -> None:
    async def scenario() -> None:
        site = Site(most=1, ends_in_s=20)
        worker = await site.order("demo-1")
        ending = asyncio.create_task(site.end_run("demo-1"))
        await asyncio.sleep(1)
        await site.order("demo-2")

        assert worker.state == "ended"
        await ending

    run(scenario())


def test_of_two_tasks_at_once_beside_an_idle_worker_one_ends_it(run: Run) -> None:
    async def scenario() -> None:
        site = Site(most=2)
        await site.order("demo-1")
        await asyncio.gather(site.order("demo-2"), site.order("demo-3"))

        assert [worker.state for worker in site.started] == ["ended", "here", "here"]

    run(scenario())


EVENTS = st.tuples(
    st.sampled_from(["order", "order", "order", "cancelled order", "end run"]),
    st.sampled_from(["demo-1", "demo-2", "demo-3", "demo-4"]),
    st.sampled_from([0.0, 0.3, 1.0, IDLE_S, IDLE_S + 0.05]),
    st.sampled_from([0.0, 1.0, IDLE_S]),
)
"""What happens, in which run, after how many seconds, and how long it takes."""


@given(
    st.lists(EVENTS, max_size=25), st.integers(1, 3), st.sampled_from([0.0, 0.1, 5.0, 100.0]), st.integers(0)
)
def test_however_tasks_come_and_go_there_are_never_too_many_workers(
    events: list[tuple[str, str, float, float]], most: int, ends_in_s: float, seed: int
) -> None:
    """That no order is given to a worker that is ending, and that none starts without a place: see `Site`."""

    async def scenario() -> None:
        site, begun = Site(most, ends_in_s=ends_in_s), []
        for kind, run_id, after_s, lasts_s in events:
            await asyncio.sleep(after_s)
            work = site.end_run(run_id) if kind == "end run" else site.order(run_id, lasts_s)
            begun.append(asyncio.ensure_future(work))
            if kind == "cancelled order":
                asyncio.get_running_loop().call_later(lasts_s / 2, begun[-1].cancel)
        for work in begun:
            with suppress(asyncio.CancelledError):
                await work
        await asyncio.sleep(IDLE_S + ENDING_S + 1)
        assert (site.here, timers()) == (0, 0)
        await site.order("demo-1")
        await site.places.close()
        assert (site.here, timers()) == (0, 0)

    loop = loop_of(seed)
    try:
        loop.run_until_complete(scenario())
        assert not loop.faults
    finally:
        loop.end()
