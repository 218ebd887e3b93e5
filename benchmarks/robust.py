"""Median and trimmed mean out of core: memory and time, beside the weighted mean and one reading.

    python benchmarks/robust.py                     32 updates of 100 MB
    python benchmarks/robust.py --quick             8 updates of 4 MB
    python benchmarks/robust.py --updates 8 --megabytes 100

The updates are files mapped into memory, as the aggregator's service has
them; they are read once beforehand, so that they stand in the page cache.
Each rule runs in a process of its own, whose private memory is what counts:
mapped files are the page cache's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from deployment import MemoryWatch, private_bytes

from hanse.aggregation.fold import weighted_mean
from hanse.aggregation.robust import median, trimmed_mean
from hanse.core.values.parameters import Parameters
from hanse.wire.tensors import open_file, write_file

TRIM = 0.1
TENSORS = 10


def read_once(updates: list[Parameters]) -> None:
    for update in updates:
        for array in update.values():
            array.view(np.uint8).max()


RULES: dict[str, Callable[[list[Parameters]], Any]] = {
    "read every byte once": read_once,
    "weighted mean": lambda updates: weighted_mean(updates, [1] * len(updates)),
    "median, one thread": lambda updates: median(updates, threads=1),
    "median": median,
    "trimmed mean, one thread": lambda updates: trimmed_mean(updates, TRIM, threads=1),
    "trimmed mean": lambda updates: trimmed_mean(updates, TRIM),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=32)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--quick", action="store_true", help="8 updates of 4 MB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.updates, options.megabytes = 8, 4
    size = int(options.megabytes * 1e6) // 4 // TENSORS
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        paths = [Path(folder) / f"{number}.safetensors" for number in range(options.updates)]
        for number, path in enumerate(paths):
            rng = np.random.default_rng(number)
            write_file(path, {f"t{i}": rng.standard_normal(size, np.float32) for i in range(TENSORS)})
        rows = [measure(name, paths) for name in RULES]
    by_name = {row["rule"]: row["seconds"] for row in rows}
    for row in rows:
        row["times_reading"] = row["seconds"] / by_name["read every byte once"]
        row["times_weighted_mean"] = row["seconds"] / by_name["weighted mean"]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{options.updates} updates of {options.megabytes:g} MB")
    print("                            seconds   x reading   x weighted mean   private MB")
    for row in rows:
        print(
            f"{row['rule']:26} {row['seconds']:8.2f} {row['times_reading']:11.1f}",
            f"{row['times_weighted_mean']:17.1f} {row['private_bytes'] / 1e6:12.0f}",
        )


def measure(name: str, paths: list[Path]) -> dict[str, Any]:
    """One rule in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=work, args=(name, paths, there))
    process.start()
    row: dict[str, Any] = here.recv()
    process.join()
    return row


def work(name: str, paths: list[Path], out: Connection) -> None:
    updates: list[Parameters] = [open_file(path) for path in paths]
    read_once(updates)
    before, watch = private_bytes(os.getpid()), MemoryWatch(os.getpid())
    began = time.perf_counter()
    kept = RULES[name](updates)
    seconds = time.perf_counter() - began
    out.send({"rule": name, "seconds": seconds, "private_bytes": watch.stop() - before})
    del kept


if __name__ == "__main__":
    main()
