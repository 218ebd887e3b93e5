"""Coroutines for callers without await."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from hanse.errors import RunError
from hanse.interactive.event_loop import iterate, wait_for


async def numbers(ended: list[str], most: int = 1000) -> AsyncIterator[int]:
    try:
        for number in range(most):
            yield number
            await asyncio.sleep(0)
    finally:
        ended.append(threading.current_thread().name)


def test_a_coroutine_gives_what_it_gives() -> None:
    assert wait_for(lambda: asyncio.sleep(0, "done")) == "done"


def test_a_coroutine_runs_while_the_callers_own_loop_runs() -> None:
    async def cell() -> str:
        return wait_for(lambda: asyncio.sleep(0, "done"))

    assert asyncio.run(cell()) == "done"


def test_an_error_is_raised_where_it_was_waited_for() -> None:
    async def fail() -> None:
        raise RunError("stopped")

    with pytest.raises(RunError, match="stopped"):
        wait_for(fail)


def test_items_come_in_their_order() -> None:
    assert list(iterate(lambda: numbers([], 4))) == [0, 1, 2, 3]


def test_an_iteration_that_is_left_ends_with_its_thread() -> None:
    ended: list[str] = []
    found = iterate(lambda: numbers(ended, 10**9))
    next(found)

    found.close()

    assert ended == ["hanse-connect"]
    assert "hanse-connect" not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_cancels_what_is_waited_for() -> None:
    ended: list[str] = []

    async def wait_and_interrupt() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    with pytest.raises(KeyboardInterrupt):
        wait_for(wait_and_interrupt)

    assert ended == ["cancelled"]
