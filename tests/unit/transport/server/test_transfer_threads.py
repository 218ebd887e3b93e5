"""Long bodies at the server: whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, cast

import pytest
from tests.parties import Run

from hanse.transport.body_io import CACHED_PIECE
from hanse.transport.server.tls.connection import TlsConnection
from hanse.transport.server.transfer_threads import TransferThreads

SIZE = 4 * CACHED_PIECE
SLOW = 1_000
"""Bytes a second."""
LONG_S = 60.0


class Clock:
    """Tells the time that it is set to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Peer:
    """Takes a piece whenever it is let, for which `clock` goes on by `piece_s`."""

    def __init__(self, clock: Clock, piece_s: float = 0.0) -> None:
        self._clock, self._piece_s = clock, piece_s
        self.began = False
        self.taken = 0
        self.may_go_on = asyncio.Event()

    def sendall(self, piece: memoryview) -> None:
        self.taken += len(piece)
        self._clock.now_s += self._piece_s

    async def on_thread(self, work: Callable[[Any], None], _idle_s: float, threads: Executor) -> None:
        self.began = True
        await asyncio.get_running_loop().run_in_executor(threads, work, self)
        await self.may_go_on.wait()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(bytes(SIZE))
    return path


def sending(
    transfer_threads: TransferThreads, peer: Peer, model: Path, idle_s: float = LONG_S
) -> asyncio.Task[None]:
    """Send the model to a peer."""
    return asyncio.create_task(transfer_threads.send(cast(TlsConnection, peer), model, 0, SIZE, idle_s))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bodies wait for their turn for as long as they may."""
    monkeypatch.setattr("hanse.transport.server.transfer_threads.FULL_SPEED", SLOW)


def test_a_body_waits_until_one_before_it_is_sent(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)

    async def scenario() -> None:
        clock = Clock()
        transfer_threads, first, second = TransferThreads(4, at_once=1, clock=clock), Peer(clock), Peer(clock)
        tasks = [sending(transfer_threads, first, model), sending(transfer_threads, second, model)]
        await until(lambda: first.taken == SIZE)
        await asyncio.sleep(0.05)
        assert not second.began

        first.may_go_on.set()

        await until(lambda: second.taken == SIZE)
        second.may_go_on.set()
        await asyncio.gather(*tasks)
        transfer_threads.close()

    run(scenario())


def test_a_body_that_its_peer_takes_slowly_lets_the_next_begin(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)

    async def scenario() -> None:
        clock = Clock()
        slow, next_one = Peer(clock, piece_s=1.1 * CACHED_PIECE / SLOW), Peer(clock)
        transfer_threads = TransferThreads(4, at_once=1, clock=clock)
        tasks = [sending(transfer_threads, slow, model), sending(transfer_threads, next_one, model)]

        await until(lambda: next_one.taken == SIZE)

        assert not tasks[0].done()
        slow.may_go_on.set()
        next_one.may_go_on.set()
        await asyncio.gather(*tasks)
        transfer_threads.close()

    run(scenario())


def test_nobody_waits_longer_than_the_body_would_take(run: Run, model: Path) -> None:
    async def scenario() -> None:
        clock = Clock()
        transfer_threads, stuck, other = TransferThreads(4, at_once=1, clock=clock), Peer(clock), Peer(clock)
        tasks = [sending(transfer_threads, stuck, model), sending(transfer_threads, other, model)]

        await until(lambda: other.taken == SIZE)  # of a megabyte: 21 ms

        assert not tasks[0].done()
        stuck.may_go_on.set()
        other.may_go_on.set()
        await asyncio.gather(*tasks)
        transfer_threads.close()

    run(scenario())


def test_turns_come_back_however_a_body_ends(run: Run, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)

    async def scenario() -> None:
        clock = Clock()
        transfer_threads = TransferThreads(4, at_once=1, clock=clock)
        for _ in range(3):
            given_up = sending(transfer_threads, Peer(clock), model)
            await asyncio.sleep(0.01)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        last = Peer(clock)
        last.may_go_on.set()

        await asyncio.wait_for(sending(transfer_threads, last, model), 5)

        assert transfer_threads.has_free_thread()
        transfer_threads.close()

    run(scenario())


def test_bodies_that_wait_have_their_threads_already(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)

    async def scenario() -> None:
        clock = Clock()
        transfer_threads, peers = TransferThreads(2, at_once=1, clock=clock), [Peer(clock), Peer(clock)]
        tasks = [sending(transfer_threads, peer, model) for peer in peers]
        await asyncio.sleep(0)

        assert not transfer_threads.has_free_thread()

        for peer in peers:
            peer.may_go_on.set()
        await asyncio.gather(*tasks)
        assert transfer_threads.has_free_thread()
        transfer_threads.close()

    run(scenario())
