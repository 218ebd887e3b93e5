"""What closing a round costs an aggregator in processor time, with models of many small tensors.

    python benchmarks/tensors.py                64 sites, 400 tensors, 1.6 MB in all
    python benchmarks/tensors.py --quick        8 sites
    python benchmarks/tensors.py --tensors 10 --megabytes 1.6

The seconds are those of the aggregator's service and of its run worker, by
site and round, from the first request to the committed model; the model goes
down to each site in them and an update up, over mutual TLS.
"""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from crowd import Crowd, crowd
from deployment import MemoryWatch, cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--tensors", type=int, nargs="+", default=[10, 400])
    parser.add_argument("--megabytes", type=float, default=1.6)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="8 sites")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.sites, options.rounds = [8], 5
    rows = []
    for sites in options.sites:
        for tensors in options.tensors:
            with crowd(sites) as many:
                rows.append(measure(many, sites, tensors, options))
            if not options.json:
                show(rows[-1], first=len(rows) == 1)
    if options.json:
        print(json.dumps(rows, indent=1))


def measure(many: Crowd, sites: int, tensors: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rounds after the first, in which the worker starts."""
    pid, rounds, size = many.deployment.aggregator, options.rounds, int(options.megabytes * 1e6)
    with many.load(sites) as load:
        run_id = many.submit("trivial", sites=sites, rounds=rounds + 2, size=size, tensors=tensors)
        load.wait("answered")
        watch, before = MemoryWatch(pid), spent(pid)
        for _ in range(rounds):
            load.wait("answered")
        service, worker = (after - begun for after, begun in zip(spent(pid), before, strict=True))
        peak = watch.stop()
        many.finished(run_id)
    each = sites * rounds
    return {
        "sites": sites,
        "tensors": tensors,
        "megabytes": options.megabytes,
        "service_cpu_s": service / each,
        "worker_cpu_s": worker / each,
        "peak_private_bytes": peak,
    }


def spent(pid: int) -> tuple[float, float]:
    """Processor time of the service, and of the worker that it started and what guards that."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
    family = {pid}
    for _ in range(4):  # the worker is a descendant, behind what guards it
        family |= {child for child, parent in parents.items() if parent in family}
    return cpu_seconds(pid), sum(cpu_seconds(child) for child in family - {pid})


def show(row: dict[str, Any], *, first: bool) -> None:
    if first:
        print("sites  tensors    MB   CPU-s a site and round: service   run worker   agg. peak MB")
    print(
        f"{row['sites']:5} {row['tensors']:8} {row['megabytes']:5.1f}",
        f"{row['service_cpu_s']:33.4f} {row['worker_cpu_s']:12.4f}",
        f"{row['peak_private_bytes'] / 1e6:14.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
