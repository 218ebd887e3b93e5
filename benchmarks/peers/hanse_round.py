"""A round of Hanse as its opponents are measured: aggregator and collaborators as processes, mutual TLS.

python benchmarks/peers/hanse_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

import itertools
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import TENSORS, Cell, Figures, Watch, tail
from deployment import deployed
from deployment import hanse as command
from round import LEARNER

import hanse


def measure(cell: Cell) -> Figures:
    """One deployment, one run."""

    def write(root: Path) -> None:
        (root / "trivial.py").write_text(LEARNER)
        (root / "plan.yaml").write_text(json.dumps(plan(cell)))

    return measured("hanse", cell, write)


def measured(
    system: str, cell: Cell, write: Callable[[Path], object], settings: Mapping[str, Any] | None = None
) -> Figures:
    """One deployment of sites with some settings, one run of the plan that is written into a folder."""
    reason = ""
    with tempfile.TemporaryDirectory(prefix=f"peers-{system}-") as folder:
        root = Path(folder)
        write(root)
        with deployed(root, cell.sites, settings) as deployment:
            watch, words = Watch(deployment.aggregator), ("-d", deployment.directory)
            try:
                command("run", "submit", root / "plan.yaml", "--watch", *words, timeout=3 * cell.limit_s)
            except subprocess.TimeoutExpired:
                reason = f"no end of the rounds after {3 * cell.limit_s:.0f} s"
            except SystemExit as failure:
                reason = tail(str(failure))
            watch.stop()
            events = deployment.events("trivial-1")
    # The journal's own times; the run's first model is a commit too, of round 0.
    closed = [
        event["time_ms"] / 1000
        for event in events
        if event["kind"] == "RoundCommitted" and event["body"]["round_number"] > 0
    ]
    times = [later - earlier for earlier, later in itertools.pairwise(closed)]
    cpu = watch.cpu_seconds(closed[0], closed[-1]) / len(times) if times else None
    return Figures(system, hanse.__version__, times, watch.peak_bytes, cpu, reason)


def plan(cell: Cell) -> dict[str, object]:
    """FedAvg over the trivial task; settings are Hanse's defaults."""
    return {
        "name": "trivial",
        "code": ["trivial.py"],
        "learner": "trivial:learner",
        "rounds": cell.rounds + 1,
        "options": {"count": cell.count * TENSORS, "tensors": TENSORS},
        "cohort": {"minimum": cell.sites, "deadline": "10m"},
        "tasks": {"train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}}},
    }


if __name__ == "__main__":
    from compare import alone

    alone(measure)
