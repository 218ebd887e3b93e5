"""Groups beside a model, sums over cells and results: the same bits simulated and deployed, whoever dies."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.deployment import Deployment, deployed

SITES = ("a", "b", "c", "d")
COMBINED = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
PLAN: dict[str, Any] = {
    "code": ["momentum.py", "grouped.py"],
    "learner": "grouped:learner",
    "workflow": "grouped:workflow",
    "rounds": 2,
    "aggregation": {},
    "cohort": {"deadline": "5m", "minimum": 2, "cell_minimum": 2},
    "cells": {"north": ["a", "b"], "south": ["c", "d"]},
    "dimensions": {"bins": 20},
    "groups": {
        "control": {"like": "model", "tensors": ["weight"]},
        "edges": {"float64": ["bins"]},
        "counts": {"in_bins": {"int64": ["bins"]}, "scaled": {"float64": ["bins"]}},
        "largest": {"float64": [], "range": [-100, 100]},
        "middle": {"value": {"float64": [1]}},
    },
}


def plan(rounds: int = 2) -> dict[str, Any]:
    tasks = {
        "train": {
            "lr": 0.1,
            "receives": ["model", "control"],
            "discloses": COMBINED | {"groups": {"control": "mean"}},
        },
        "measure": {
            "receives": ["model", "edges"],
            "varies": {"scale": [0, 4.0]},
            "exchanges": 2,
            "discloses": {
                "aggregated_by": "aggregator",
                "groups": {"counts": "total", "largest": "individual", "middle": "median"},
            },
        },
    }
    return {**PLAN, "tasks": tasks, "rounds": rounds}


def simulated(
    federation: Deployment, plan_file: Path, folder: Path, sites: tuple[str, ...] = SITES
) -> dict[str, Any]:
    for name, place in federation.sites.items():
        shutil.copytree(place.data, folder / "data" / name)
    command = [sys.executable, "-m", "hanse", "simulate", str(plan_file), "--output", str(folder / "out")]
    command += [option for name in sites for option in ("--site", name)]
    command += ["--data", f"numbers={folder}/data/{{site}}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((folder / "out" / "metrics.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_that_failed_in_a_round_with_groups_is_resumed_under_the_same_numbers(tmp_path: Path) -> None:
    with deployed(tmp_path / "deployed", *SITES) as federation:
        federation.sites["c"].hold("train", 2)
        run = federation.submit(**plan())
        federation.sites["c"].held(run.run_id, "train", 2)
        federation.sites["b"].fail("measure")
        federation.sites["c"].release()
        failed = run.over()
        federation.sites["b"].recover()
        run.resume()
        model, results = run.finished(), run.status.results
        there = simulated(federation, federation.plan(**plan()), tmp_path / "simulated")

    assert failed.phase == "failed"
    assert (there["model"], there["results"]) == (model, results)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_same_bits_come_out_though_an_agent_and_the_runs_worker_are_killed_in_mid_round(
    tmp_path: Path,
) -> None:
    with deployed(tmp_path / "deployed", *SITES) as federation:
        site = federation.sites["b"]
        site.hold("train", 2)
        run = federation.submit(**plan())
        site.held(run.run_id, "train", 2)
        federation.agent("b").end(signal.SIGKILL)
        federation.aggregator.worker().send(signal.SIGKILL)
        site.release()
        federation.start_agent("b")
        model = run.finished()
        status, exported = run.status, run.export(tmp_path / "results")
        there = simulated(federation, federation.plan(**plan()), tmp_path / "simulated")

    assert there["model"] == model
    assert there["results"] == status.results
    counts = np.load(exported / "results" / "counts.npz")
    assert counts["all"].sum() > counts["north"].sum() > 0
    table = (exported / "results" / "counts.csv").read_text().splitlines()
    assert table[0] == "all,north"
    assert len(table) == 1 + 6
