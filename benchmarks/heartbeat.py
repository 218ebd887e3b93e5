"""Does a slow upload delay anybody else? A ninth site asks for its work while eight others upload.

    python benchmarks/heartbeat.py              updates of 100 MB: none, at 1 MB/s each, at full speed
    python benchmarks/heartbeat.py --quick      updates of 8 MB, for a few seconds

The eight come through a relay that lets so many bytes a second through on each
connection, or straight. The ninth asks every 20 ms over a connection that it
keeps open, from a process of its own. At full speed the processors are shared
with the eight; on two cores a part of the delay is theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from crowd import Crowd, crowd

from hanse.pki.credentials import Credentials
from hanse.pki.signing_key import SigningKey
from hanse.pki.statements import state
from hanse.pki.tls import client_context
from hanse.transport.client.upstream import HttpsUpstream
from hanse.wire.messages.sites import PLAN_ANSWER, AnswerRequest, NextRequest, PlanAnswer

UPLOADS = 8
EVERY_S = 0.02
PIECE_S = 0.02
SPAWN = multiprocessing.get_context("spawn")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rate", type=float, default=1.0, help="MB/s of each slow upload")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to ask in each case")
    parser.add_argument("--quick", action="store_true", help="updates of 8 MB, 4 seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.seconds = 8, 4.0
    size = int(options.megabytes * 1e6)
    rows = []
    for what, rate in (("no uploads", 0.0), ("slow uploads", options.rate * 1e6), ("full speed", None)):
        with crowd(UPLOADS + 1) as many:
            rows.append({"case": what} | measure(many, size, rate, options.seconds))
    for row in rows:
        row["p99_times_quiet"] = row["p99_s"] / rows[0]["p99_s"]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("                requests   p50 ms   p99 ms   most ms   p99 x without uploads   rounds meanwhile")
    for row in rows:
        print(
            f"{row['case']:14} {row['requests']:9} {row['p50_s'] * 1e3:8.2f} {row['p99_s'] * 1e3:8.2f}",
            f"{row['most_s'] * 1e3:9.1f} {row['p99_times_quiet']:23.1f} {row['rounds']:18}",
        )


def measure(many: Crowd, size: int, rate: float | None, seconds: float) -> dict[str, Any]:
    """One case: what the ninth site's requests took."""
    with relayed(many.port, rate) as port, many.load(UPLOADS, port=port) as load:
        if rate == 0:
            return {"rounds": 0} | asked(many, seconds)
        run_id = many.submit("trivial", sites=UPLOADS, rounds=10_000, size=size)
        with_ninth(many, lambda upstream, who: refuse(upstream, who, run_id))
        load.wait("asked")
        if rate is None:
            load.wait("answered")  # the first round starts the worker
        times = asked(many, seconds)
        rounds = load.count("answered")
        return {"rounds": rounds} | times


def asked(many: Crowd, seconds: float) -> dict[str, Any]:
    """Ask for work again and again, in a process of its own."""
    here, there = SPAWN.Pipe()
    folder = sorted(many.identities.iterdir())[UPLOADS]
    asking = SPAWN.Process(target=ask_in_turn, args=(folder, many.port, seconds, there))
    asking.start()
    times = here.recv()
    asking.join()
    return {
        "requests": len(times),
        "p50_s": float(np.percentile(times, 50)),
        "p99_s": float(np.percentile(times, 99)),
        "most_s": max(times),
    }


def ask_in_turn(folder: Path, port: int, seconds: float, out: Any) -> None:
    async def ask() -> list[float]:
        upstream = upstream_of(Credentials.load(folder, datetime.now(UTC)), port)
        times: list[float] = []
        await upstream.next(NextRequest(wait_s=0))
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            await upstream.next(NextRequest(wait_s=0))
            times.append(time.perf_counter() - began)
            await asyncio.sleep(max(EVERY_S - times[-1], 0))
        await upstream.close()
        return times

    out.send(uvloop.run(ask()))


def upstream_of(credentials: Credentials, port: int) -> HttpsUpstream:
    return HttpsUpstream(f"https://127.0.0.1:{port}", client_context(credentials), proxy=None)


def with_ninth(many: Crowd, do: Callable[[HttpsUpstream, Credentials], Awaitable[None]]) -> None:
    async def done() -> None:
        who = many.credentials(UPLOADS)
        upstream = upstream_of(who, many.port)
        await do(upstream, who)
        await upstream.close()

    uvloop.run(done())


async def refuse(upstream: HttpsUpstream, who: Credentials, run_id: str) -> None:
    """Have the ninth take no part in the run, which then waits for the others only."""
    key = SigningKey.load(who.directory)
    work = await upstream.next(NextRequest(wait_s=0))
    (digest,) = (run.plan_digest for run in work.runs if run.run_id == run_id)
    answer = PlanAnswer(
        federation=who.party.federation,
        site=who.party.name,
        plan_digest=digest,
        accepted=False,
        reasons=("it only looks on",),
        decided_ms=int(time.time() * 1000),
        signer=key.fingerprint,
    )
    await upstream.answer(
        AnswerRequest(run_id=run_id, statement=state(SigningKey.load(who.directory), PLAN_ANSWER, answer))
    )


@contextmanager
def relayed(port: int, rate: float | None) -> Iterator[int]:
    """A port through which so many bytes a second go up on each connection; `port` itself without a rate."""
    if not rate:
        yield port
        return
    listener = socket.create_server(("127.0.0.1", 0))
    relay = SPAWN.Process(target=relay_slowly, args=(listener, port, rate), daemon=True)
    relay.start()
    try:
        yield listener.getsockname()[1]
    finally:
        relay.terminate()
        relay.join()
        listener.close()


def relay_slowly(listener: socket.socket, port: int, rate: float) -> None:
    piece = max(int(rate * PIECE_S), 1)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, pause_s: float) -> None:
        with suppress(ConnectionError):
            while data := await source.read(piece if pause_s else 1 << 18):
                target.write(data)
                await target.drain()
                await asyncio.sleep(pause_s * len(data) / piece)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, up_writer, PIECE_S), pump(up_reader, writer, 0.0))

    async def relay() -> None:
        server = await asyncio.start_server(serve, sock=listener, limit=piece)
        await server.serve_forever()

    uvloop.run(relay())


if __name__ == "__main__":
    main()
