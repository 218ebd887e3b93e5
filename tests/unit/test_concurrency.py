"""Waiting without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hanse.concurrency import Signals, to_the_end

Run = Callable[[Any], Any]


def test_what_is_there_already_is_seen_at_once(run: Run) -> None:
    assert run(Signals().until(["a"], lambda: 7, timeout_s=0)) == 7


def test_a_notification_of_any_key_makes_one_look_again(run: Run) -> None:
    async def main() -> int | None:
        signals, seen = Signals(), list[int]()
        waiting = asyncio.create_task(signals.until(["a", "b"], lambda: seen[-1] if seen else None))
        await asyncio.sleep(0)
        seen.append(7)
        signals.notify(["b"])
        return await waiting

    assert run(main()) == 7


def test_a_notification_without_a_change_is_waited_through(run: Run) -> None:
    async def main() -> tuple[bool, int | None]:
        signals, seen = Signals(), list[int]()
        waiting = asyncio.create_task(signals.until(["a"], lambda: seen[-1] if seen else None))
        for _ in range(3):
            signals.notify(["a"])
            await asyncio.sleep(0)
        idle = not waiting.done()
        seen.append(7)
        signals.notify(["a"])
        return idle, await waiting

    assert run(main()) == (True, 7)


def test_the_wait_ends_in_time_with_nothing(run: Run) -> None:
    assert run(Signals().until(["a"], lambda: None, timeout_s=0.01)) is None


def test_what_looking_raises_ends_the_wait(run: Run) -> None:
    def look() -> None:
        raise PermissionError("removed")

    with pytest.raises(PermissionError):
        run(Signals().until(["a"], look))


def test_nothing_is_left_of_a_wait_that_is_over(run: Run) -> None:
    signals = Signals()

    async def main() -> None:
        waiting = asyncio.create_task(signals.until(["a"], lambda: None))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await signals.until(["b"], lambda: None, timeout_s=0)

    run(main())

    assert not signals._waiting


class TestToTheEnd:
    def test_the_result_is_that_of_the_work(self, run: Run) -> None:
        assert run(to_the_end(asyncio.sleep(0, 7))) == 7

    def test_a_cancellation_takes_effect_after_the_work(self, run: Run) -> None:
        async def main() -> list[str]:
            told, go_on = list[str](), asyncio.Event()

            async def work() -> None:
                await go_on.wait()
                told.append("done")

            task = asyncio.create_task(to_the_end(work()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            told.append("cancelled")
            go_on.set()
            await asyncio.wait({task})
            return [*told, str(task.cancelled())]

        assert run(main()) == ["cancelled", "done", "True"]
