"""What secure aggregation costs: rounds beside plain ones, a site that is killed, and the arithmetic.

    python benchmarks/secure.py rounds                      8 sites, 1 MB and 100 MB
    python benchmarks/secure.py cells                       3 cells of 12 sites, 10 MB, one site killed
    python benchmarks/secure.py arithmetic                  of 8 sites, 1 MB and 100 MB
    python benchmarks/secure.py all --json > secure.json
    python benchmarks/secure.py all --quick                 some minutes, to see that it works

Rounds and cells are real deployments: each party a process, mutual TLS. Plain and masked runs
take turns, each in a deployment of its own; medians are over the rounds of all turns, without
the first of each run (workers start in it). The model of each run is held against what it has
to be. Times are those of the run's journal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import secure_arithmetic
from deployment import Deployment, MemoryWatch, deployed, hanse, private_bytes
from round import LEARNER

from hanse.privacy.secagg.grid import grid_bits
from hanse.wire.tensors import open_file, write_file

TENSORS = 10
MODES = ("plain", "masked")
RUN = "trivial-1"


def main() -> None:
    options = _options()
    found: dict[str, Any] = {}
    parts: dict[str, Callable[[argparse.Namespace], Any]] = {
        "rounds": measure_rounds,
        "cells": measure_cells,
        "arithmetic": measure_arithmetic,
    }
    for name, part in parts.items():
        if options.part in (name, "all"):
            found[name] = part(options)
    if options.json:
        print(json.dumps(found, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["rounds", "cells", "arithmetic", "all"])
    parser.add_argument("--sites", type=int, default=8, help="of `rounds` and `arithmetic`")
    parser.add_argument("--megabytes", type=float, nargs="+", help="by default 1 and 100; 10 for `cells`")
    parser.add_argument("--rounds", type=int, default=5, help="timed in each run")
    parser.add_argument("--turns", type=int, default=2, help="of `rounds` and `arithmetic`")
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--members", type=int, default=12, help="of each cell of `cells`")
    parser.add_argument("--deadline", type=float, default=90, help="of a round of `cells`, seconds")
    parser.add_argument("--quick", action="store_true", help="3 sites, 1 MB, 2 rounds; cells of 3")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.sites, options.rounds, options.turns = 3, 2, 1
        options.megabytes, options.members, options.deadline = [1], 3, 20
    return options


# A run, and what its journal says of it.


@dataclass(frozen=True, slots=True)
class Asked:
    """A run to measure.

    Attributes:
        mode: One of `MODES`.
        cells: Names of the sites, by cell.
        count: Numbers of the model, float32 in `TENSORS` equal tensors.
        rounds: All of them.
        deadline_s: Of a round.
        incomplete: What becomes of a cell that lacks a member.
    """

    mode: str
    cells: Mapping[str, Sequence[str]]
    count: int
    rounds: int
    deadline_s: float = 600
    incomplete: str = "fail"

    @property
    def clip(self) -> float:
        """Longer than any update here: to bring one down to it would cost a little more."""
        return 128 * math.sqrt(self.count)

    @property
    def sites(self) -> list[str]:
        return [site for members in self.cells.values() for site in members]

    def plan(self) -> dict[str, Any]:
        """The plan; masked or not, all else is the same."""
        masked = self.mode == "masked"
        by = "secure_aggregation" if masked else "aggregator"
        section = {"model": {"clip": self.clip}, "incomplete": self.incomplete}
        whole = self.incomplete == "fail"
        return {
            "name": "trivial",
            "code": ["trivial.py"],
            "learner": "trivial:learner",
            "initial_model": "initial.safetensors",
            "rounds": self.rounds,
            "options": {"count": self.count, "tensors": TENSORS},
            "cells": {cell: list(members) for cell, members in self.cells.items()},
            "cohort": {"minimum": min(len(members) for members in self.cells.values())}
            | {"deadline": f"{self.deadline_s:g}s"}
            | ({} if whole else {"quorum": 0.5}),
            "aggregation": {"rule": "mean"},
            "privacy": {"secure_aggregation": section} if masked else {},
            "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": by}}},
        }

    def write(self, root: Path) -> Path:
        """Write plan, code and first model into a folder; the plan's path."""
        (root / "trivial.py").write_text(LEARNER)
        zeros = np.zeros(self.count // TENSORS, np.float32)
        write_file(root / "initial.safetensors", {f"t{i:04d}": zeros for i in range(TENSORS)})
        path = root / "plan.yaml"
        path.write_text(json.dumps(self.plan()))
        return path


def step_of(site: str) -> int:
    """What a site adds to each number of the model."""
    return 1 + sum(site.encode()) % 97


def names(count: int, first: int = 0) -> list[str]:
    """Names of sites, as `deployed` gives them."""
    return [f"site-{number:03d}" for number in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Journal:
    """Events of a run."""

    events: Sequence[Mapping[str, Any]]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def round_seconds(self) -> list[float]:
        """Of each round but the first."""
        rounds = [e["time_ms"] / 1000 for e in self.of("RoundCommitted") if e["body"]["round_number"] > 0]
        return [later - earlier for earlier, later in itertools.pairwise(rounds)]

    def phases(self) -> list[dict[str, float]]:
        """Seconds of each round but the first, by what is waited for: a round is their sum.

        `ready`: until the last site has performed the task and stated its READY. `answers`: from then, or
        in a plain round from the beginning, until the last answer. `commit`: sum, model, journal.
        """
        found, marks = [], dict[str, float]()
        ends = {"SiteReady": "ready", "UpdateAccepted": "answers"}
        for event in self.events:
            at = event["time_ms"] / 1000
            if (name := ends.get(event["kind"])) is not None:
                marks[name] = at
            elif event["kind"] == "RoundCommitted":
                marks["commit"] = at
                if "begin" in marks and event["body"]["round_number"] > 1:
                    times = sorted(marks.items(), key=lambda item: item[1])
                    found.append({b[0]: b[1] - a[1] for a, b in itertools.pairwise(times)})
                marks = {"begin": at}
        return found


def model_of(deployment: Deployment, run: str) -> dict[str, np.ndarray]:
    """The last model of a run that `deployment.events` has exported."""
    return dict(open_file(next((deployment.root / f"export-{run}").rglob("model.safetensors"))))


def check_model(deployment: Deployment, asked: Asked, journal: Journal) -> None:
    """Refuse a model that is not what came of the steps of the sites that were summed in each round."""
    summed = [set(event["body"]["sites"]) for event in journal.of("UpdatesAggregated")]
    expected = sum(statistics.mean(map(step_of, sites)) for sites in summed)
    bits = grid_bits(32, max(len(members) for members in asked.cells.values()))
    # A mean is off by less than a step of the grid, and float32 by its own rounding.
    most = len(summed) * (asked.clip * 2.0**-bits + 1e-6 * expected)
    for name, array in model_of(deployment, RUN).items():
        off = float(np.max(np.abs(array.astype(np.float64) - expected)))
        if off > most:
            raise SystemExit(f"{name} of the model is off by {off}, and may be by {most}")


# Rounds beside plain rounds.


def measure_rounds(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Plain and masked rounds of one cell, in turns."""
    rows = []
    for megabytes in options.megabytes or [1, 100]:
        asked = {
            mode: Asked(mode, {"all": names(options.sites)}, _count(megabytes), options.rounds + 1)
            for mode in MODES
        }
        runs: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
        for turn in range(options.turns):
            for mode in MODES[:: 1 if turn % 2 == 0 else -1]:
                runs[mode].append(one_run(asked[mode]))
        row = {"sites": options.sites, "megabytes": megabytes}
        row |= {mode: _together(runs[mode]) for mode in MODES}
        row["ratio"] = row["masked"]["seconds"] / row["plain"]["seconds"]
        row["difference"] = row["masked"]["seconds"] - row["plain"]["seconds"]
        rows.append(row)
        if not options.json:
            print_rounds(row, first=len(rows) == 1)
    return rows


def _count(megabytes: float) -> int:
    return int(megabytes * 1e6) // 4 // TENSORS * TENSORS


def one_run(asked: Asked) -> dict[str, Any]:
    """One deployment, one run."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        root = Path(folder)
        plan = asked.write(root)
        with deployed(root, len(asked.sites), settings=SITE) as deployment:
            idle = private_bytes(deployment.aggregator)
            watches = [MemoryWatch(process.pid) for process in deployment.processes[:2]]
            cpu = deployment.cpu_seconds()
            hanse("run", "submit", plan, "--watch", "-d", deployment.directory)
            peak, agent_peak = (watch.stop() for watch in watches)
            cpu = deployment.cpu_seconds() - cpu
            journal = Journal(deployment.events(RUN))
            check_model(deployment, asked, journal)
    return {
        "rounds": journal.round_seconds(),
        "phases": journal.phases(),
        "cpu_seconds_a_round": cpu / asked.rounds,
        "idle_memory": idle,
        "peak_memory": peak,
        "agent_peak_memory": agent_peak,
    }


SITE: dict[str, Any] = {"secure_aggregation": {"trust_on_first_use": True}}
"""What is in each `site.yaml`: a key that was checked by telephone costs as much as one first seen."""


def _together(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of all turns: medians over rounds, and the highest peaks."""
    rounds = [seconds for run in runs for seconds in run["rounds"]]
    phases = [phase for run in runs for phase in run["phases"]]
    return {
        "seconds": statistics.median(rounds),
        "fastest": min(rounds),
        "slowest": max(rounds),
        "phases": {
            name: statistics.median(phase[name] for phase in phases if name in phase)
            for name in dict.fromkeys(name for phase in phases for name in phase)
        },
        "cpu_seconds_a_round": statistics.median(run["cpu_seconds_a_round"] for run in runs),
        **{
            name: max(run[name] for run in runs)
            for name in ("idle_memory", "peak_memory", "agent_peak_memory")
        },
    }


def print_rounds(row: Mapping[str, Any], *, first: bool) -> None:
    if first:
        print("sites     MB          s/round (fastest - slowest)   ready + answers + commit", end="")
        print("   CPU s/round   agg. MB idle/peak   agent MB peak")
    for mode in MODES:
        one = row[mode]
        phases = " + ".join(f"{one['phases'].get(name, 0):6.3f}" for name in ("ready", "answers", "commit"))
        print(
            f"{row['sites']:5} {row['megabytes']:6g}  {mode:7} {one['seconds']:7.3f}",
            f"({one['fastest']:.3f} - {one['slowest']:.3f})   {phases}  {one['cpu_seconds_a_round']:9.2f}",
            f"  {one['idle_memory'] / 1e6:10.0f} / {one['peak_memory'] / 1e6:.0f}",
            f" {one['agent_peak_memory'] / 1e6:10.0f}",
        )
    cpu = row["masked"]["cpu_seconds_a_round"] / row["plain"]["cpu_seconds_a_round"]
    time_, more = f"{row['ratio']:.2f} in time", f"{row['difference']:+.3f} s"
    print(f"{'':14}masked / plain: {time_} ({more}), {cpu:.2f} in processor time", flush=True)


# Cells, of which one loses a site in mid-round.


DISTURBANCES = ("none", "killed", "killed and back")
STRUCK = 2
"""The round in which the site is killed."""


def measure_cells(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of several cells, with and without a site that is killed once it has stated its READY."""
    (megabytes,) = options.megabytes if options.quick else [10.0]
    cells = {
        f"cell-{number}": names(options.members, number * options.members) for number in range(options.cells)
    }
    asked = Asked("masked", cells, _count(megabytes), STRUCK + 1, options.deadline, "leave_out")
    rows = []
    for disturbance in DISTURBANCES:
        row = {"cells": options.cells, "members": options.members, "megabytes": megabytes}
        rows.append(row | {"disturbance": disturbance} | disturbed_run(asked, disturbance))
        if not options.json:
            print_cells(rows[-1], first=len(rows) == 1)
    return rows


def disturbed_run(asked: Asked, disturbance: str) -> dict[str, Any]:
    """One deployment, one run; the last site is killed in round `STRUCK`, and may be started again."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        root = Path(folder)
        plan = asked.write(root)
        with deployed(root, len(asked.sites), settings=SITE) as deployment:
            watch = MemoryWatch(deployment.aggregator)
            striker = threading.Thread(target=strike, args=(deployment, asked.sites[-1], disturbance))
            striker.start()
            hanse("run", "submit", plan, "--watch", "-d", deployment.directory)
            peak = watch.stop()
            striker.join()
            journal = Journal(deployment.events(RUN))
            check_model(deployment, asked, journal)
    return {
        "rounds": journal.round_seconds(),
        "attempts": [
            {name: event["body"][name] for name in ("cell", "attempt", "site", "reason")}
            for event in journal.of("SumAttempted")
        ],
        "left_out": [
            {name: event["body"][name] for name in ("exchange", "cell", "missing")}
            for event in journal.of("CellLeftOut")
        ],
        "sites_in_sums": [len(event["body"]["sites"]) for event in journal.of("UpdatesAggregated")],
        "peak_memory": peak,
    }


def strike(deployment: Deployment, site: str, disturbance: str) -> None:
    """Kill a site's agent when it has stated its READY in the round."""
    if disturbance == "none":
        return
    number = int(site.rpartition("-")[2])
    agent, log = deployment.processes[1 + number], deployment.root / f"{1 + number}.log"
    while log.read_text().count("READY for attempt") < STRUCK:
        time.sleep(0.005)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    if disturbance == "killed and back":
        deployment.start("collaborator", "start", "--site", deployment.root / site)


def print_cells(row: Mapping[str, Any], *, first: bool) -> None:
    if first:
        print(f"{row['cells']} cells of {row['members']} sites, {row['megabytes']:g} MB;", end=" ")
        print(f"in round {STRUCK} the last site of the last cell is killed")
        print("disturbance        s/round, from 2 on  sites in each sum          agg. MB peak   left out")
    seconds = " ".join(f"{each:.2f}" for each in row["rounds"])
    sites = " ".join(map(str, row["sites_in_sums"]))
    left_out = ", ".join(f"{each['cell']} ({' '.join(each['missing'])})" for each in row["left_out"]) or "-"
    print(f"{row['disturbance']:17}  {seconds:18}  {sites:26} {row['peak_memory'] / 1e6:13.0f}   {left_out}")
    for each in row["attempts"]:
        print(f"{'':19}attempt {each['attempt']} of {each['cell']} by {each['site']}: {each['reason']}")
    sys.stdout.flush()


def measure_arithmetic(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What sites and aggregator compute, without processes and transfers."""
    rows = []
    for megabytes in options.megabytes or [1, 100]:
        rows.append(secure_arithmetic.measure(options.sites, megabytes, options.turns))
        if not options.json:
            secure_arithmetic.print_row(rows[-1], first=len(rows) == 1)
    return rows


if __name__ == "__main__":
    main()
