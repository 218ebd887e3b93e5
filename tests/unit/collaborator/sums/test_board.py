"""The list of what the aggregator waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hanse.collaborator.sums.board import Board
from hanse.wire.messages.sites import Assignment, RunWork, Work
from hanse.wire.messages.sums import SumAsked

Run = Callable[[Any], Any]
KEY = ("demo-1", 4)


def work(*asked: SumAsked | None, exchange: int = 4) -> Work:
    assignments = tuple(
        Assignment(exchange=exchange, round_number=1, task="train", deadline_ms=1, secure_sum=each)
        for each in asked
    )
    run = RunWork(run_id="demo-1", plan_digest="1" * 64, plan_bytes=1, progress_s=1, assignments=assignments)
    return Work(version="1", runs=(run,))


def asked(attempt: int) -> SumAsked:
    return SumAsked(cell="all", attempt=attempt)


def test_what_was_seen_is_waited_for_to_change(run: Run) -> None:
    async def changed() -> SumAsked | None:
        board = Board()
        board.post(work(asked(1)))
        assert await board.next(KEY) == asked(1)
        waiting = asyncio.create_task(board.next(KEY, asked(1)))
        board.post(work(asked(1)))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        board.post(work(asked(2)))
        return await waiting

    assert run(changed()) == asked(2)


def test_an_exchange_that_is_listed_without_a_sum_waits(run: Run) -> None:
    async def unasked() -> SumAsked | None:
        board = Board()
        board.post(work(None))
        waiting = asyncio.create_task(board.next(KEY))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        board.post(work(asked(1)))
        return await waiting

    assert run(unasked()) == asked(1)


def test_an_exchange_that_is_not_listed_is_over(run: Run) -> None:
    async def over() -> SumAsked | None:
        board = Board()
        board.post(work(asked(1)))
        waiting = asyncio.create_task(board.next(KEY, asked(1)))
        await asyncio.sleep(0)
        board.post(work())
        return await waiting

    assert run(over()) is None
    assert run(Board().next(KEY)) is None
