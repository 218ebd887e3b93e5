"""Each algorithm by its plan: the same bits simulated and deployed, though an agent is killed in mid-round.

FedBuff is run at one site: its model follows from the order in which the updates of several come.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.deployment import Deployment, deployed, done
from tests.shelf import CODE, EXAMPLES, plan_of, write_tables
from tests.thorough import sample
from tests.unit.algorithms import runs
from tests.unit.algorithms.evaluation import test_cross_site
from tests.unit.algorithms.optimisation import test_fednova, test_scaffold
from tests.unit.algorithms.personalisation import test_ditto, test_fedper, test_fine_tuning, test_ifca
from tests.unit.algorithms.statistics import test_standardise

from hanse.algorithms.registry import ALGORITHMS

SITES = ("a", "b", "c", "d")

WAITING = '''

import time

_made = learner


def _waiting(site, name, perform):
    def waiting(self, parameters, task):
        hold = site.data["numbers"] / f"hold-{name}-{task.round_number}"
        if hold.exists():
            (site.state_dir / f"at-{name}-{task.round_number}").touch()
        while hold.exists():
            sum(range(10_000))
            time.sleep(0.005)
        return perform(self, parameters, task)
    return waiting


def learner(site):
    """The learner that was made, whose tasks wait as long as the site's data source holds a file."""
    made = _made(site)
    kind = type(made)
    tasks = {name: _waiting(site, name, getattr(kind, name)) for name in TASKS if hasattr(kind, name)}
    made.__class__ = type("Waiting", (kind,), tasks)
    return made
'''

_LINEAR = "\ndef learner(site): return Linear(site.name)\n"
_CYCLIC = {"train": {"lr": 0.05, "epochs": 2, "discloses": runs.INDIVIDUAL}}

TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "scaffold": (test_scaffold.CODE, test_scaffold.PLAN),
    "fednova": (test_fednova.CODE, test_fednova.PLAN),
    "feddyn": (
        _LINEAR,
        {
            "algorithm": {"name": "feddyn", "alpha": 0.3},
            "tasks": {"train": {"lr": 0.05, "epochs": 3, "discloses": runs.AGGREGATE}},
        },
    ),
    "cyclic": (_LINEAR, {"algorithm": "cyclic", "tasks": _CYCLIC}),
    "ditto": (test_ditto.CODE, {"algorithm": {"name": "ditto", "mu": 0.3}, "tasks": test_ditto.TASKS}),
    "fine_tuning": (test_fine_tuning.CODE, {"algorithm": "fine_tuning", "tasks": test_fine_tuning.TASKS}),
    "fedper": (
        test_fedper.CODE,
        {"algorithm": {"name": "fedper", "tensors": ["head.*"]}, "tasks": test_fedper.TASKS},
    ),
    "ifca": (
        test_ifca.CODE,
        {"algorithm": {"name": "ifca", "models": 2}, "tasks": {"train": test_ifca.TRAIN}},
    ),
    "cross_site": (
        _LINEAR,
        {"algorithm": {"name": "cross_site", "sites": 4}, "rounds": 1, "tasks": test_cross_site.TASKS},
    ),
    "standardise_then_train": (
        test_standardise.CODE,
        {"algorithm": test_standardise.ALGORITHM, "tasks": test_standardise.TASKS},
    ),
}
"""Code and plan of those that train a model."""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployed"), *SITES) as federation:
        yield federation


def written(folder: Path, code: str, plan: dict[str, Any]) -> Path:
    """Write a plan and its code, whose tasks wait when told to; gives the plan's file."""
    folder.mkdir()
    tasks = ("train", "measure", *(task for example in EXAMPLES for task in _own_tasks(example)))
    (folder / "shelf.py").write_text(f"{code}\n\nTASKS = {sorted(set(tasks))!r}\n{WAITING}")
    changes = {"code": ["shelf.py"], "learner": "shelf:learner", "data": ["numbers"]}
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({**plan, **changes, "name": "trial", "cohort": {"deadline": "5m"}}))
    return file


def _own_tasks(example: str) -> list[str]:
    algorithm = ALGORITHMS[example]
    settings = {**EXAMPLES[example].settings, "aggregated_by": "aggregator"}
    return list(algorithm.keys(algorithm.settings.model_validate(settings))["tasks"])


def simulated(plan: Path, data: Path, folder: Path, sites: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "hanse", "simulate", str(plan), "--output", str(folder)]
    command += [option for name in sites for option in ("--site", name)]
    command += ["--data", f"numbers={data}/{{site}}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def check_same_bits(
    federation: Deployment, plan: Path, folder: Path, task: str, sites: Sequence[str] = SITES
) -> None:
    """Run a plan, killing the agent of a site in the first round's `task`; and simulate it."""
    site = federation.sites["b"]
    site.hold(task, 1)
    submitted = done("run", "submit", plan, "-d", federation.directory, "--sites", ",".join(sites))
    run = federation.run(submitted.strip())
    site.held(run.run_id, task, 1)
    federation.agent("b").end(signal.SIGKILL)
    site.release()
    federation.start_agent("b")
    status = run.over()
    assert status.phase == "finished", status.reason
    run.export(folder / "exported")  # and its journal is verified
    for name, place in federation.sites.items():
        shutil.copytree(place.data, folder / "data" / name)

    there = simulated(plan, folder / "data", folder / "out", sites)

    assert status.results == there["results"]
    assert (status.model.digest if status.model else None) == there["model"]
    assert status.model or status.results


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sample(list(EXAMPLES), 6))
def test_an_algorithm_on_tables(federation: Deployment, tmp_path: Path, name: str) -> None:
    tables = dict(zip(SITES, EXAMPLES[name].sites.values(), strict=False))
    for site, file in write_tables(tmp_path, tables).items():
        shutil.copy(file, federation.sites[site].data / "table.csv")
    code = CODE.replace('site.data["table"]', 'site.data["numbers"] / "table.csv"')

    plan = written(tmp_path / "plan", code, plan_of(name))

    check_same_bits(federation, plan, tmp_path, _own_tasks(name)[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sample(list(TRAINED), 4))
def test_an_algorithm_that_trains_a_model(federation: Deployment, tmp_path: Path, name: str) -> None:
    code, plan = TRAINED[name]

    file = written(tmp_path / "plan", runs.DATA + code, {"rounds": 3, **plan})

    check_same_bits(federation, file, tmp_path, "measure" if name == "standardise_then_train" else "train")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fedbuff(federation: Deployment, tmp_path: Path) -> None:
    plan = {"algorithm": {"name": "fedbuff", "buffer": 2, "lr": 0.5}, "rounds": 3, "tasks": _CYCLIC}

    file = written(tmp_path / "plan", runs.DATA + _LINEAR, plan)

    check_same_bits(federation, file, tmp_path, "train", ["b"])
