"""What it costs to move blobs between sites and an aggregator's server, in time and in processor time.

    python benchmarks/transfers.py                   100 MB down and up, 1 site and 8
    python benchmarks/transfers.py --stock-tls       the same over the event loop's own TLS at the server

A server in front of a folder of blobs, and sites, each a process; no runs, no
workers. Beside it stands what raw TLS sockets need for the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from floor import credentials, transfer

from hanse.core.values.digests import digest_of_bytes
from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.tls import client_context, server_context
from hanse.storage.blobs_file import FileBlobStore
from hanse.transport.client.upstream import HttpsUpstream
from hanse.transport.server.server import HttpsServer
from hanse.wire.messages.basics import BlobState

FORK = multiprocessing.get_context("fork")


class Shelf:
    """A service that gives blobs and takes them, again and again, from anybody."""

    def __init__(self, blobs: FileBlobStore) -> None:
        self._blobs = blobs
        self.blob_requests = self

    def admit(self, certificate_der: bytes) -> Party:
        return Party("floor", Role.COLLABORATOR, "site")

    def blob_to_send(self, party: Party, digest: str) -> Path:
        return self._blobs.path(digest)

    def blob_state(self, party: Party, digest: str) -> BlobState:
        return BlobState(complete=False, offset=0)

    def blob_to_take(self, party: Party, digest: str, size: int) -> Callable[[], Any]:
        self._blobs.delete(digest)
        return partial(self._blobs.write, digest, party.name, size)


def serve(shelf: Shelf, root: Path, told: Connection, options: dict[str, Any]) -> None:
    async def main() -> None:
        server = HttpsServer(shelf, server_context(load(root / "a")), "127.0.0.1", **options)
        await server.start()
        told.send(server.port)
        await asyncio.get_running_loop().run_in_executor(None, told.recv)
        await server.close()

    uvloop.run(main())


def move(root: Path, port: int, number: int, way: str, data: bytes, rounds: int, told: Connection) -> None:
    """One site."""

    async def main() -> None:
        upstream = HttpsUpstream(f"https://127.0.0.1:{port}", client_context(load(root / "c")), proxy=None)
        blobs = FileBlobStore(root / f"site-{number}", durable=False)
        own = data[:-1] + bytes([number])  # another blob at each site
        digest = digest_of_bytes(data if way == "down" else own, "blake3")
        (source := root / f"update-{number}").write_bytes(own)
        told.send("ready")
        told.recv()
        for _ in range(rounds):
            if way == "down":
                await upstream.fetch(digest, blobs, owner="site", max_bytes=len(data))
                blobs.delete(digest)
                with suppress(TypeError):
                    blobs.reclaim(keep=True)
            else:
                await upstream.deliver(digest, source)
        await upstream.close()
        told.send("done")

    uvloop.run(main())


def load(directory: Path) -> Any:
    from hanse.pki.credentials import Credentials

    return Credentials.load(directory, datetime.now(UTC))


def measure(way: str, sites: int, size: int, rounds: int, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds a round, and processor seconds of all processes a round."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        root, data = Path(folder), bytes(size)
        authority = Authority.create("floor", datetime.now(UTC), timedelta(days=1))
        credentials(authority, Role.AGGREGATOR, root / "a")
        credentials(authority, Role.COLLABORATOR, root / "c")
        blobs = FileBlobStore(root / "blobs")
        (root / "model").write_bytes(data)
        with (root / "model").open("rb", buffering=0) as model:
            blobs.copy(model, size, "blake3")
        before = children_cpu_s()
        here, there = FORK.Pipe()
        processes = [FORK.Process(target=serve, args=(Shelf(blobs), root, there, options))]
        processes[0].start()
        port = here.recv()
        ends = []
        for number in range(sites):
            end, far = FORK.Pipe()
            ends.append(end)
            processes.append(FORK.Process(target=move, args=(root, port, number, way, data, rounds, far)))
            processes[-1].start()
        for end in ends:
            end.recv()
        began = time.perf_counter()
        for end in ends:
            end.send("go")
        for end in ends:
            end.recv()
        seconds = time.perf_counter() - began
        here.send("end")
        for process in processes:
            process.join()
    return seconds / rounds, (children_cpu_s() - before) / rounds


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--stock-tls", action="store_true", help="the event loop's own TLS at the server")
    given = parser.parse_args()
    size, options = int(given.megabytes * 1_000_000), {}
    if given.stock_tls:
        from hanse.transport.server.tls.stock import StockListener

        options["listener"] = StockListener
    for sites in given.sites:
        raw = transfer(sites, size, given.rounds)
        print(f"{sites} x {given.megabytes:g} MB: raw TLS, down and up together, {raw.seconds:.3f} s")
        for way in ("down", "up"):
            seconds, cpu_s = measure(way, sites, size, given.rounds, options)
            print(f"  {way:4}  {seconds:.3f} s  CPU {cpu_s:.3f} s, of all processes", flush=True)


if __name__ == "__main__":
    main()
