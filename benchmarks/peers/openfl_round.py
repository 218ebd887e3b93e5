"""A round of OpenFL: `fx` aggregator and collaborators as processes, certificates by `fx`, mutual TLS.

python benchmarks/peers/openfl_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common import (
    JOBS,
    START_S,
    TENSORS,
    Cell,
    DidNotFinishError,
    Figures,
    Group,
    environment,
    group,
    listens,
    version_of,
    wait_for,
    watched,
)
from deployment import free_port

# OpenFL 1.9 calls `np.reshape(newshape=)`, which newer NumPy no longer has.
REQUIREMENTS = ("openfl", "numpy<2.1")


def measure(cell: Cell) -> Figures:
    """One deployment, one experiment."""
    bin_ = environment("openfl", *REQUIREMENTS)
    version = version_of(bin_, "openfl")
    with group("openfl", bin_) as members:
        try:
            server = start(members, cell)
        except DidNotFinishError as error:
            return Figures("openfl", version, [], 0, None, str(error))
        return watched(("openfl", version), cell, members, server, Closings(members.log("aggregator")))


def start(members: Group, cell: Cell) -> int:
    """Workspace, plan, certificates, processes; process id of the aggregator."""
    root, port, python = members.root, free_port(), members.bin / "python"
    space = root / "space"
    members.run(["fx", "workspace", "create", "--prefix", space, "--template", "no-op"], cwd=root)
    fill(space, cell, port)
    members.run([python, JOBS / "openfl" / "enrol.py", str(cell.sites)], cwd=space)
    members.run(["fx", "plan", "initialize", "-a", "localhost"], cwd=space)
    server = members.start("aggregator", ["fx", "aggregator", "start"], space)
    wait_for("the aggregator", lambda: listens(port), members, START_S)
    for number in range(cell.sites):
        name = f"site-{number}"
        members.start(name, ["fx", "collaborator", "start", "-n", name], space)
    return server


def fill(space: Path, cell: Cell, port: int) -> None:
    """The plan and the task's code."""
    shutil.copy(JOBS / "openfl" / "trivial.py", space / "src")
    (space / "src" / "sizes.json").write_text(json.dumps({"count": cell.count, "tensors": TENSORS}))
    (space / "plan" / "plan.yaml").write_text(json.dumps(plan(cell, port)))


def plan(cell: Cell, port: int) -> dict[str, Any]:
    """OpenFL's plan: its defaults, with one task to train and one to score instead of three.

    The score is there because the aggregator's checkpoint, on by default, fails without one.
    Tuned, there is no checkpoint and no score, and models travel instead of differences. What
    takes most of the time, the ten seconds that a collaborator without work is told to sleep,
    is fixed in OpenFL's code.
    """
    train = {"train": {"function": "add_one", "kwargs": {}}}
    score = {"aggregated_model_validation": {"function": "score", "kwargs": {}}}
    tasks = train if cell.tuned else score | train
    groups = [{"name": "learning", "percentage": 1.0, "tasks": list(tasks)}]
    tuned = {"persist_checkpoint": False, "use_delta_updates": False} if cell.tuned else {}
    delta = {"use_delta_updates": False} if cell.tuned else {}
    rounds = {"rounds_to_train": cell.rounds + 1}
    return {
        "aggregator": part("aggregator", "openfl.component.Aggregator", rounds | tuned),
        "collaborator": part("collaborator", "openfl.component.Collaborator", delta),
        "data_loader": part("data_loader", "src.trivial.NoData"),
        "task_runner": part("task_runner", "src.trivial.AddOne"),
        "network": part("network", None, {"agg_addr": "localhost", "agg_port": port}),
        "assigner": part("assigner", "openfl.component.RandomGroupedAssigner", {"task_groups": groups}),
        "tasks": tasks,
        "compression_pipeline": part("compression_pipeline", None),
    }


def part(
    name: str, template: str | None, settings: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """A section of the plan: OpenFL's defaults, and what differs from them."""
    value: dict[str, Any] = {"defaults": f"plan/defaults/{name}.yaml", "settings": dict(settings)}
    return value | ({"template": template} if template else {})


class Closings:
    """Sees in the aggregator's log when a round was closed and its model saved."""

    def __init__(self, log: Path) -> None:
        self._log, self._times = log, list[float]()

    def __call__(self) -> list[float]:
        text = self._log.read_text(errors="replace")
        while len(self._times) < sum(
            text.count(line) for line in ("Starting round ", "Experiment Completed")
        ):
            self._times.append(time.time())
        return self._times


if __name__ == "__main__":
    from compare import alone

    alone(measure)
