"""Seconds a round of a real deployment, beside the floor, for given sites and model sizes.

    python benchmarks/round.py                    2 and 8 sites, 1 MB and 100 MB
    python benchmarks/round.py --quick            2 sites, 1 MB
    python benchmarks/round.py --sites 8 --megabytes 1 --rounds 20

Real processes, mutual TLS, a task that does nothing but hand back an update.
Times are differences between `RoundCommitted` in the run's journal, without
the first round (workers start in it).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from pathlib import Path

from deployment import MemoryWatch, cpu_seconds, deployed, hanse, private_bytes

LEARNER = """
import numpy as np
import hanse

class Trivial:
    def __init__(self, count, tensors, step):
        self.step = np.float32(step)
        self.model = {f"t{i:04d}": np.zeros(count // tensors, np.float32) for i in range(tensors)}
    def parameters(self):
        return self.model
    def train(self, parameters, task):
        trained = {name: array + self.step for name, array in parameters.items()}
        return hanse.TaskResult(num_examples=1, parameters=trained)
    def evaluate(self, parameters, task):
        return hanse.TaskResult(num_examples=1)

def learner(site):
    # Another update at each site: equal ones would be one blob at the aggregator.
    return Trivial(site.options["count"], site.options["tensors"], 1 + sum(site.name.encode()) % 97)
"""


def measure(sites: int, size: int, rounds: int, tensors: int) -> dict[str, float]:
    """One deployment, one run; figures of its rounds."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        root = Path(folder)
        plan = {
            "name": "trivial",
            "code": ["trivial.py"],
            "learner": "trivial:learner",
            "rounds": rounds + 1,
            "options": {"count": size // 4, "tensors": tensors},
            "cohort": {"minimum": sites, "deadline": "10m"},
            "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
        }
        (root / "trivial.py").write_text(LEARNER)
        (root / "plan.yaml").write_text(json.dumps(plan))
        with deployed(root, sites) as deployment:
            before = private_bytes(deployment.aggregator)
            watch, cpu = MemoryWatch(deployment.aggregator), cpu_seconds(deployment.aggregator)
            all_cpu = deployment.cpu_seconds()
            hanse("run", "submit", root / "plan.yaml", "--watch", "-d", deployment.directory)
            peak, cpu = watch.stop(), cpu_seconds(deployment.aggregator) - cpu
            all_cpu = deployment.cpu_seconds() - all_cpu
            events = deployment.events("trivial-1")
    commits = [
        e["time_ms"] for e in events if e["kind"] == "RoundCommitted" and e["body"]["round_number"] > 0
    ]
    times = [(b - a) / 1000 for a, b in itertools.pairwise(commits)]
    return {
        "seconds": statistics.median(times),
        "slowest": max(times),
        "idle_memory": before,
        "peak_memory": peak,
        "cpu_seconds_a_round": cpu / (rounds + 1),
        "all_cpu_seconds_a_round": all_cpu / (rounds + 1),
    }


def main() -> None:
    from floor import fold_s, transfer  # not needed, nor there, where another version is measured

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 100])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tensors", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="2 sites, 1 MB, 5 rounds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.sites, options.megabytes, options.rounds = [2], [1], 5
    rows = []
    for megabytes in options.megabytes:
        for sites in options.sites:
            size = int(megabytes * 1_000_000)
            raw, fold = transfer(sites, size, options.rounds), fold_s(sites, size)
            row = measure(sites, size, options.rounds, options.tensors)
            row |= {"sites": sites, "megabytes": megabytes, "bytes_a_round": 2 * sites * size}
            row |= {
                "floor_transfer": raw.seconds,
                "floor_fold": fold,
                "ratio": row["seconds"] / (raw.seconds + fold),
                "raw_cpu_seconds_a_round": raw.server_cpu_s,
            }
            rows.append(row)
            if not options.json:
                print_row(row, first=len(rows) == 1)
    if options.json:
        print(json.dumps(rows, indent=1))


def print_row(row: dict[str, float], *, first: bool) -> None:
    if first:
        print("sites     MB  MB/round  s/round (slowest)   floor = TLS + fold    x floor", end="")
        print("   agg. MB idle/peak  CPU s/GB (raw TLS)")
    floor = row["floor_transfer"] + row["floor_fold"]
    gigabytes = row["bytes_a_round"] / 1e9
    print(
        f"{row['sites']:5.0f} {row['megabytes']:6.0f} {row['bytes_a_round'] / 1e6:9.0f}",
        f" {row['seconds']:7.3f} ({row['slowest']:.3f})",
        f"  {floor:7.3f} = {row['floor_transfer']:.3f} + {row['floor_fold']:.3f}",
        f" {row['ratio']:7.1f}   {row['idle_memory'] / 1e6:8.0f} / {row['peak_memory'] / 1e6:.0f}",
        f" {row['cpu_seconds_a_round'] / gigabytes:8.2f} ({row['raw_cpu_seconds_a_round'] / gigabytes:.2f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
