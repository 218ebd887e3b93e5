"""Memory and time of simulated rounds by number of sites, in models.

    python benchmarks/simulation_memory.py              40 MB at 4, 16 and 64 sites, every case
    python benchmarks/simulation_memory.py --quick      4 MB at 4 and 16 sites
    python benchmarks/simulation_memory.py --megabytes 40 --sites 4 16 64 --cases "weighted mean"

Each case and number of sites runs in a process of its own: two rounds of
federated averaging with a learner in NumPy that adds to each tensor and keeps
nothing itself. Arrays are counted as Python allocates them (tracemalloc), from
before the simulation to its peak, which the private memory of the process is
put beside: it holds what the allocator has not given back, too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import tracemalloc
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deployment import MemoryWatch, private_bytes

from hanse.config.load import load_plan
from hanse.simulation.simulate import Settings, VirtualSite, simulate

TENSORS = 10
ROUNDS = 2
LEARNER = """
import numpy as np
import hanse

SIZE = {size}

def learner(site):
    return Adder(float(int(site.name[5:])))

class Adder:
    def __init__(self, step):
        self.step = np.float32(step)

    def parameters(self):
        return {{f"t{{i}}": np.zeros(SIZE, np.float32) for i in range({tensors})}}

    def train(self, parameters, task):
        return hanse.TaskResult(1 + int(self.step), {{}}, {{n: a + self.step for n, a in parameters.items()}})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {{}})

def each(federation):
    for round in federation.rounds():
        average(round)

def average(round):
    total, examples, model = None, 0, round.model
    for update in round.ask("train"):
        if total is None:
            total = {{name: np.zeros_like(array) for name, array in update.delta.items()}}
        for name, array in update.delta.items():
            total[name] += array * np.float32(update.num_examples)
        examples += update.num_examples
    round.commit({{name: model[name] + total[name] / np.float32(examples) for name in model}})
"""
AGGREGATE = "{update: aggregate, aggregated_by: aggregator}"
CASES = {
    "weighted mean": f"tasks: {{train: {{discloses: {AGGREGATE}}}}}",
    "mean": f"tasks: {{train: {{discloses: {AGGREGATE}}}}}\naggregation: {{rule: mean}}",
    "weighted mean of top_k, with error feedback": f"tasks: {{train: {{discloses: {AGGREGATE}}}}}\n"
    "compression: {upload: [{name: top_k, fraction: 0.1}]}",
    "median": f"tasks: {{train: {{discloses: {AGGREGATE}}}}}\naggregation: {{rule: median}}",
    "each update seen by the workflow": "tasks: {train: {discloses: {update: individual}}}\n"
    "workflow: adding:each",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="4 MB at 4 and 16 sites")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.sites = 4, [4, 16]
    rows = [measure(case, sites, options.megabytes) for case in options.cases for sites in options.sites]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"a model of {options.megabytes:g} MB, {ROUNDS} rounds")
    print("                                              sites   models   private, models   ms a task")
    for row in rows:
        print(
            f"{row['case']:44} {row['sites']:6} {row['models']:8.1f} {row['private_models']:17.1f}",
            f"{1000 * row['seconds'] / ROUNDS / row['sites']:11.1f}",
        )


def measure(case: str, sites: int, megabytes: float) -> dict[str, Any]:
    """One simulation in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=work, args=(case, sites, megabytes, there))
    process.start()
    row: dict[str, Any] = here.recv()
    process.join()
    return row


def work(case: str, sites: int, megabytes: float, out: Connection) -> None:
    size = int(megabytes * 1e6) // 4 // TENSORS
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        plan = Path(folder) / "plan.yaml"
        plan.with_name("adding.py").write_text(LEARNER.format(size=size, tensors=TENSORS))
        text = f"name: adding\ncode: [adding.py]\nlearner: adding:learner\nrounds: {ROUNDS}\n{CASES[case]}\n"
        plan.write_text(text)
        loaded, places = load_plan(plan), [VirtualSite(f"site-{n:04}") for n in range(sites)]
        state = Path(folder) / "state"
        state.mkdir()
        before, watch = private_bytes(os.getpid()), MemoryWatch(os.getpid())
        tracemalloc.start()
        began = time.perf_counter()
        simulate(loaded, places, Settings(state, 0), lambda _run, _event: None)
        seconds = time.perf_counter() - began
        peak = tracemalloc.get_traced_memory()[1]
        model = 4 * size * TENSORS
        out.send(
            {
                "case": case,
                "sites": sites,
                "models": peak / model,
                "private_models": (watch.stop() - before) / model,
                "seconds": seconds,
            }
        )


if __name__ == "__main__":
    main()
