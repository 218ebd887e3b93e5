"""The proxy does to connections what it is told to, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.faults.proxy import Network, NetworkCondition, Proxy, lasting
from tests.network import serving

DATA = bytes(range(256)) * 4_096
"""A megabyte."""

Run = Callable[[Awaitable[Any]], Any]


@asynccontextmanager
async def proxied(seed: int = 0) -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A proxy to a server that echoes; what has reached it, by connection."""
    reached: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(reached)
        reached.append(b"")
        while data := await reader.read(1 << 16):
            reached[place] += data
            writer.write(data)
            await writer.drain()

    async with serving(echo) as port:
        proxy = Proxy(port, seed)
        await proxy.start()
        try:
            yield proxy, reached
        finally:
            await proxy.close()


async def exchange(proxy: Proxy, data: bytes = DATA) -> bytes:
    """Send bytes, and read until so many have come back, or the connection has ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()

    sending = asyncio.create_task(send())
    back = b""
    try:
        with suppress(ConnectionResetError):
            while len(back) < len(data) and (piece := await reader.read(1 << 16)):
                back += piece
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
    return back


def test_it_passes_everything_on(run: Run) -> None:
    async def scenario() -> bytes:
        async with proxied() as (proxy, _):
            return await exchange(proxy)

    assert run(scenario()) == DATA


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_on_the_way_up_lets_just_so_many_bytes_pass(run: Run, reset: bool) -> None:
    async def scenario() -> list[bytes]:
        async with proxied() as (proxy, reached):
            proxy.cut("up", 400, reset=reset)
            await exchange(proxy, DATA[:1_000])
            while not reached[0]:
                await asyncio.sleep(0.01)
            return reached

    assert run(scenario()) == [DATA[:400]]


def test_a_cut_on_the_way_down_lets_just_so_many_bytes_pass(run: Run) -> None:
    async def scenario() -> tuple[bytes, list[bytes]]:
        async with proxied() as (proxy, reached):
            proxy.cut("down", 400)
            return await exchange(proxy, DATA[:1_000]), reached

    assert run(scenario()) == (DATA[:400], [DATA[:1_000]])


def test_a_cut_comes_in_the_middle_of_what_is_large(run: Run) -> None:
    async def scenario() -> int:
        async with proxied() as (proxy, _):
            proxy.cut("down", 500_000)
            return len(await exchange(proxy))

    assert 0 < run(scenario()) <= 500_000


def test_a_cut_comes_once_and_the_next_connection_is_whole(run: Run) -> None:
    async def scenario() -> tuple[bytes, bytes]:
        async with proxied() as (proxy, _):
            proxy.cut("down", 0)
            return await exchange(proxy), await exchange(proxy)

    assert run(scenario()) == (b"", DATA)


@pytest.mark.parametrize("reset", [False, True])
def test_all_connections_can_be_cut_at_once_with_a_reset_or_without(run: Run, reset: bool) -> None:
    async def scenario() -> bytes | None:
        async with proxied() as (proxy, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            proxy.cut_all(reset=reset)
            try:
                return await reader.read(1)
            except ConnectionResetError:
                return None
            finally:
                writer.transport.abort()

    assert run(scenario()) == (None if reset else b"")


def test_it_slows_to_a_rate(run: Run) -> None:
    async def scenario() -> float:
        async with proxied() as (proxy, _):
            proxy.condition = NetworkCondition(rate=400_000)
            begin = time.monotonic()
            assert await exchange(proxy, DATA[:100_000]) == DATA[:100_000]
            return time.monotonic() - begin

    assert run(scenario()) >= 0.25


def test_it_delays_by_what_its_seed_says(run: Run) -> None:
    async def scenario(seed: int) -> list[float]:
        async with proxied(seed) as (proxy, _):
            return [proxy._random.random() for _ in range(3)]

    assert run(scenario(1)) == run(scenario(1)) != run(scenario(2))


def test_a_hole_swallows_everything_until_it_is_closed(run: Run) -> None:
    async def scenario() -> tuple[int, bytes]:
        async with proxied() as (proxy, reached):
            proxy.condition = NetworkCondition(hole=True)
            exchanging = asyncio.create_task(exchange(proxy, b"in the hole"))
            await asyncio.sleep(0.2)
            swallowed = sum(map(len, reached))
            proxy.condition = NetworkCondition()
            return swallowed, await exchanging

    assert run(scenario()) == (0, b"in the hole")


def test_a_connection_is_repeated_over_another_one(run: Run) -> None:
    async def scenario() -> list[bytes]:
        async with proxied() as (proxy, reached):
            proxy.repeat_next()
            await exchange(proxy, b"say it twice")
            while len(reached) < 2 or not reached[1]:
                await asyncio.sleep(0.01)
            return reached

    assert run(scenario()) == [b"say it twice"] * 2


def test_a_connection_is_overtaken_by_the_next(run: Run) -> None:
    async def scenario() -> list[bytes]:
        async with proxied() as (proxy, reached):
            proxy.hold_next()
            first = asyncio.create_task(exchange(proxy, b"first"))
            while proxy.connections < 1:
                await asyncio.sleep(0.01)
            await asyncio.gather(first, exchange(proxy, b"second"))
            return reached

    assert run(scenario()) == [b"second", b"first"]


def test_bad_weather_ends_with_its_block(run: Run) -> None:
    network = Network()
    try:
        proxy = network.proxy(1)

        with lasting(network, proxy, 0.0, delay_s=0.5):
            during = proxy.condition

        assert (during, proxy.condition) == (NetworkCondition(delay_s=0.5), NetworkCondition())
    finally:
        network.close()
