"""What each thing costs that may happen to a byte on its way: processor time, in units of a raw TLS transfer.

    python benchmarks/costs.py
    python benchmarks/costs.py --megabytes 32 --json

Every figure is the median of processor seconds a gigabyte, divided by that of
one end of a TLS 1.3 connection over loopback: the mean of sending and receiving.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from floor import CHUNK, transfer

from hanse.aggregation.fold import weighted_mean
from hanse.core.values.digests import digest_of_bytes
from hanse.core.values.parameters import not_finite

REPEATS = 5
SITES = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    size = options.megabytes * CHUNK
    raw = transfer(1, size, REPEATS).server_cpu_s / (2 * size)  # a round sends it and receives it
    found = {what: cpu_s / size / raw for what, cpu_s in costs(size).items()}
    if options.json:
        print(json.dumps({"raw_tls_cpu_s_per_gb": raw * 1e9, "in_units_of_raw_tls": found}, indent=1))
        return
    for what, times in found.items():
        print(f"{what:48} {times:5.2f}")


def costs(size: int) -> dict[str, float]:
    """Processor seconds that each thing takes for so many bytes."""
    numbers = np.random.default_rng(0).random(CHUNK // 4, dtype=np.float32)
    block, count = memoryview(numbers).cast("B"), size // CHUNK
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        path, new = Path(folder) / "file", Path(folder) / "new"
        path.write_bytes(bytes(block) * count)
        ones = np.ones(size // 4, np.float32)
        out = np.empty_like(ones)
        mapped = np.memmap(path, np.float32, mode="r")
        return {
            "BLAKE3": cpu_s(lambda: [digest_of_bytes(block, "blake3") for _ in range(count)]),
            "SHA-256": cpu_s(lambda: [digest_of_bytes(block, "sha256") for _ in range(count)]),
            "write a new file, unlink it": cpu_s(lambda: write(new, "wb", block, count), new.unlink),
            "write over a file": cpu_s(lambda: write(path, "r+b", block, count)),
            "write a new file, wait for the disk, unlink it": cpu_s(
                lambda: write(new, "wb", block, count, fsync=True), new.unlink
            ),
            "write an anonymous file (memfd)": cpu_s(lambda: write_anonymous(block, count)),
            "read a file": cpu_s(lambda: read(path, count)),
            "check a mapped file for NaN": cpu_s(lambda: check(mapped)),
            "fold one update of eight, in mapped files": cpu_s(
                lambda: weighted_mean([{"t": mapped}] * SITES, [1.0] * SITES)
            )
            / SITES,
            "add to an array, in new memory": cpu_s(lambda: ones + np.float32(1)),
            "add to an array, in memory touched before": cpu_s(lambda: np.add(ones, np.float32(1), out=out)),
        }


def cpu_s(work: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """Processor seconds of some work, and of what ends it; the median."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        result = work()
        after()
        del result
        times.append(time.process_time() - began)
    return statistics.median(times)


def write(path: Path, mode: str, block: memoryview, count: int, *, fsync: bool = False) -> None:
    with path.open(mode, buffering=0) as file:
        for _ in range(count):
            file.write(block)
        if fsync:
            os.fsync(file.fileno())


def write_anonymous(block: memoryview, count: int) -> None:
    with opened(os.memfd_create("hanse-bench")) as file:
        for _ in range(count):
            os.write(file, block)


def read(path: Path, count: int) -> None:
    buffer = bytearray(CHUNK)
    with opened(os.open(path, os.O_RDONLY)) as file:
        for _ in range(count):
            os.readv(file, [buffer])


def check(array: np.ndarray) -> None:
    if not_finite({"t": array}):
        raise SystemExit("a number of the benchmark's own is not finite")


@contextmanager
def opened(file: int) -> Iterator[int]:
    try:
        yield file
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
