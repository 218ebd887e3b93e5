"""Many collaborators at one aggregator: what idle connections cost, and how long rounds take.

    python benchmarks/connections.py                200 sites with rounds, then 1,000 idle ones
    python benchmarks/connections.py --quick        20 sites, then 50 idle ones
    python benchmarks/connections.py --kilobytes 1000

The aggregator is the real process behind mutual TLS; `load.py` plays the
sites, each with a certificate and connections of its own. Both have to fit
into `ulimit -n`: 2 connections a site and some more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

from crowd import Crowd, crowd
from deployment import MemoryWatch, cpu_seconds, private_bytes

IDLE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kilobytes", type=float, default=100)
    parser.add_argument("--quick", action="store_true", help="20 sites and 50 idle ones")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.sites, options.idle, options.rounds = 20, 50, 5
    found = {}
    for what, sites, rounds, size in (
        ("rounds", options.sites, options.rounds, int(options.kilobytes * 1000)),
        ("idle", options.idle, 2, 4_000),
    ):
        if sites:
            with crowd(sites) as many:
                found[what] = measure(many, sites, rounds, size)
            if not options.json:
                show(found[what])
    if options.json:
        print(json.dumps(found, indent=1))


def measure(many: Crowd, sites: int, rounds: int, size: int) -> dict[str, Any]:
    """Connect, wait, then run some rounds."""
    pid = many.deployment.aggregator
    before = private_bytes(pid)
    with many.load(sites) as load:
        time.sleep(1)
        idle_bytes, cpu = private_bytes(pid), cpu_seconds(pid)
        time.sleep(IDLE_S)
        idle_cpu, files = cpu_seconds(pid) - cpu, descriptors(pid)
        watch, cpu, load_cpu = MemoryWatch(pid), cpu_seconds(pid), cpu_seconds(load.process.pid)
        run_id = many.submit("trivial", sites=sites, rounds=rounds, size=size)
        asked = [load.wait("asked", 300) for _ in range(rounds)]
        for _ in range(rounds):
            load.wait("answered", 300)
        events = many.finished(run_id)
        cpu, peak, most_files = cpu_seconds(pid) - cpu, watch.stop(), descriptors(pid)
        load_cpu = cpu_seconds(load.process.pid) - load_cpu
    opened = {e["body"]["exchange"]: e["time_ms"] / 1000 for e in events if e["kind"] == "ExchangeOpened"}
    commits = [e["time_ms"] / 1000 for e in events if e["kind"] == "RoundCommitted"]
    started = next(e["time_ms"] / 1000 for e in events if e["kind"] == "RunStarted")
    times = [b - a for a, b in itertools.pairwise([started, *commits])]
    reached = [said["last"] - opened[said["exchange"]] for said in asked]
    return {
        "sites": sites,
        "megabytes": size / 1e6,
        "connect_s": load.connected_s,
        "idle_bytes_a_site": (idle_bytes - before) / sites,
        "idle_cpu_percent": 100 * idle_cpu / IDLE_S,
        "descriptors_idle": files,
        "descriptors_after": most_files,
        "peak_private_bytes": peak,
        "answers_s": started - events[0]["time_ms"] / 1000,
        "wakeup_s": statistics.median(reached),
        "round_s": statistics.median(times),
        "slowest_round_s": max(times),
        "cpu_s_a_round": cpu / rounds,
        "load_cpu_s_a_round": load_cpu / rounds,
    }


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def show(row: dict[str, Any]) -> None:
    print(f"{row['sites']} sites, updates of {row['megabytes']:g} MB")
    print(f"  all connected after           {row['connect_s']:8.2f} s")
    print(f"  idle: memory a connection     {row['idle_bytes_a_site'] / 1e3:8.0f} kB")
    print(f"  idle: processor               {row['idle_cpu_percent']:8.1f} % of a core")
    print(f"  descriptors idle / after      {row['descriptors_idle']:8} / {row['descriptors_after']}")
    print(f"  all answers to the plan after {row['answers_s']:8.2f} s")
    print(f"  a task reaches the last after {row['wakeup_s']:8.2f} s")
    print(f"  a round (slowest)             {row['round_s']:8.2f} s ({row['slowest_round_s']:.2f})")
    print(f"  aggregator, CPU a round       {row['cpu_s_a_round']:8.2f} s")
    print(f"  load process, CPU a round     {row['load_cpu_s_a_round']:8.2f} s")
    print(f"  aggregator, peak memory       {row['peak_private_bytes'] / 1e6:8.0f} MB", flush=True)


if __name__ == "__main__":
    main()
