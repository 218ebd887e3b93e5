"""The floor of a round: a raw TLS socket moving the same bytes, and one memory-mapped fold.

What no implementation can beat on this machine: `sites` connections at a
time, each moving a model down and an update up over TLS 1.3 with blocking
sockets, one after the other in each direction, then a weighted sum over all
update files.
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.tls import client_context, server_context

CHUNK = 1 << 20


def credentials(authority: Authority, role: Role, directory: Path) -> Credentials:
    now, key = datetime.now(UTC), new_key()
    hosts = ("127.0.0.1",) if role is Role.AGGREGATOR else ()
    certificate = authority.issue(
        key.public_key(),
        Party("floor", role, role.value),
        now=now,
        lifetime=timedelta(hours=1),
        hosts=hosts,
    )
    return Credentials.save_new(directory, key, pem_of(certificate), pem_of(authority.certificate), now)


def _receive(connection: ssl.SSLSocket, size: int, into: memoryview) -> None:
    got = 0
    while got < size:
        count = connection.recv_into(into[: min(CHUNK, size - got)])
        if not count:
            raise ConnectionError("the other end closed")
        got += count


def _serve(connection: ssl.SSLSocket, model: memoryview, rounds: int) -> None:
    buffer = memoryview(bytearray(CHUNK))
    with connection:
        for _ in range(rounds):
            connection.sendall(model)
            _receive(connection, len(model), buffer)


class Transfer(NamedTuple):
    """What it takes to move a round's bytes.

    Attributes:
        seconds: The median of the rounds.
        server_cpu_s: Processor seconds of the aggregator's end in a round.
    """

    seconds: float
    server_cpu_s: float


def _server(
    listener: socket.socket, context: ssl.SSLContext, sites: int, size: int, rounds: int, told: Connection
) -> None:
    """The aggregator's end, a process of its own as in a deployment."""
    model = memoryview(bytes(size))
    began = time.process_time()
    threads = []
    for _ in range(sites):
        connection = context.wrap_socket(listener.accept()[0], server_side=True)
        threads.append(threading.Thread(target=_serve, args=(connection, model, rounds)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    told.send((time.process_time() - began) / rounds)


def transfer_s(sites: int, size: int, rounds: int) -> float:
    """See `transfer`; the seconds alone."""
    return transfer(sites, size, rounds).seconds


def transfer(sites: int, size: int, rounds: int) -> Transfer:
    """What a round takes in which each site gets and sends `size` bytes."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create("floor", datetime.now(UTC), timedelta(days=1))
        server = server_context(credentials(authority, Role.AGGREGATOR, Path(folder) / "a"))
        client = client_context(credentials(authority, Role.COLLABORATOR, Path(folder) / "c"))
        listener = socket.create_server(("127.0.0.1", 0))
        fork = multiprocessing.get_context("fork")
        here, there = fork.Pipe()
        serving = fork.Process(target=_server, args=(listener, server, sites, size, rounds, there))
        serving.start()
        connections = [
            client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="127.0.0.1")
            for _ in range(sites)
        ]
        model = memoryview(bytes(size))
        times = [_one_round(connections, model) for _ in range(rounds)]
        for connection in connections:
            connection.close()
        server_cpu_s = here.recv()
        serving.join()
        listener.close()
    return Transfer(float(np.median(times)), server_cpu_s)


def _one_round(connections: list[ssl.SSLSocket], model: memoryview) -> float:
    def site(connection: ssl.SSLSocket) -> None:
        _receive(connection, len(model), memoryview(bytearray(CHUNK)))
        connection.sendall(model)

    began = time.perf_counter()
    threads = [threading.Thread(target=site, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def fold_s(sites: int, size: int, repeats: int = 3) -> float:
    """Seconds for one weighted float32 sum over `sites` memory-mapped files, by block; the median."""
    count, block = size // 4, 65_536
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(site) for site in range(sites)]
        for path in paths:
            np.random.default_rng(0).random(count, dtype=np.float32).tofile(path)
        out = np.empty(count, dtype=np.float32)
        scratch, total = np.empty(block, dtype=np.float32), np.empty(block, dtype=np.float32)
        times = []
        for _ in range(repeats):
            maps = [np.memmap(path, dtype=np.float32, mode="r") for path in paths]
            began = time.perf_counter()
            for start in range(0, count, block):
                stop = min(start + block, count)
                total[: stop - start] = 0
                for site in maps:
                    np.multiply(site[start:stop], 0.125, out=scratch[: stop - start])
                    total[: stop - start] += scratch[: stop - start]
                out[start:stop] = total[: stop - start]
            times.append(time.perf_counter() - began)
    return float(np.median(times))
