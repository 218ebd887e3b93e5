"""The same plan, seed, sites and data give the same model to the bit, simulated and deployed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, deployed

from hanse.core.run.round_events import TaskFailed
from hanse.core.values.canonical import sha256
from hanse.demo.files import HOSPITALS
from hanse.wire.tensors import open_file


def hanse(*arguments: object) -> None:
    command = [sys.executable, "-m", "hanse", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=250)


def data_of(federation: Deployment, folder: Path) -> Path:
    """A copy of the data of each site, in a folder of its name."""
    for name, place in federation.sites.items():
        shutil.copytree(place.data, folder / name, dirs_exist_ok=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "learner",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_the_demos_model_is_the_simulated_one_to_the_bit(tmp_path: Path, learner: str) -> None:
    if learner != "numpy":
        pytest.importorskip(learner)
    deployed, simulated = tmp_path / "deployed", tmp_path / "simulated"
    rounds = () if learner == "numpy" else ("--rounds", 2)

    hanse("demo", "--directory", deployed, "--learner", learner, *rounds)
    hanse(
        "simulate",
        deployed / "plan" / "plan.yaml",
        *(option for name in HOSPITALS for option in ("--site", name)),
        *("--data", f"heart={deployed}/sites/{{site}}/patients.csv"),
        *("--output", simulated),
    )

    models = [folder / "model.safetensors" for folder in (deployed / "results", simulated)]
    assert sha256(models[0].read_bytes()) == sha256(models[1].read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_compressed_runs_model_is_the_simulated_one_to_the_bit_though_an_agent_was_killed(
    tmp_path: Path,
) -> None:
    compression = {
        "upload": [{"name": "top_k", "fraction": 0.3}, "rotate", "int4", "zstd"],
        "download": ["delta", "zstd"],
        "smallest": 1,
    }
    simulated = tmp_path / "simulated"

    with deployed(tmp_path / "deployed", "a", "b") as federation:
        site = federation.sites["a"]
        site.hold("train", 2)
        run = federation.submit(compression=compression, rounds=4, options={"size": 3000})
        site.held(run.run_id, "train", 2)
        federation.agent("a").end(signal.SIGKILL)
        site.release()
        federation.start_agent("a")
        run.finished()
        federation.agent("b").says("the model was made of the one before")
        results = run.export(tmp_path / "results")
        data = data_of(federation, tmp_path / "data")
        plan = federation.plan(compression=compression, rounds=4, options={"size": 3000})
        hanse(
            "simulate",
            plan,
            *("--site", "a", "--site", "b"),
            *("--data", f"numbers={data}/{{site}}"),
            *("--output", simulated),
        )

    models = [folder / "model.safetensors" for folder in (results, simulated)]
    assert sha256(models[0].read_bytes()) == sha256(models[1].read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("learner", "personal"),
    [("stumbling:learner", []), ("stumbling:headed", ["head.*"])],
    ids=["local state", "personal"],
)
def test_what_an_answer_left_at_its_site_that_did_not_count_is_used_in_neither(
    tmp_path: Path, learner: str, personal: list[str]
) -> None:
    stumbling = {
        "code": ["momentum.py", "stumbling.py"],
        "learner": learner,
        "personal": personal,
        "rounds": 4,
        "cohort": {"deadline": "5m", "quorum": 0.5},
    }
    digests = set()

    with deployed(tmp_path / "deployed", "a", "b") as federation:
        run = federation.submit(**stumbling, options={"stumble": "after"})
        run.finished()
        assert run.until(TaskFailed, site="b").exchange == 4
        digests.add(sha256((run.export(tmp_path / "results") / "model.safetensors").read_bytes()))
        for stumble in ("before", "after"):
            hanse(
                "simulate",
                federation.plan(**stumbling, options={"stumble": stumble}),
                *("--site", "a", "--site", "b"),
                *("--data", f"numbers={data_of(federation, tmp_path / 'data')}/{{site}}"),
                *("--output", tmp_path / stumble),
            )
            digests.add(sha256((tmp_path / stumble / "model.safetensors").read_bytes()))

    assert len(digests) == 1
    assert "head.bias" not in open_file(tmp_path / "after" / "model.safetensors")


OF_FILES = """
import multiprocessing, signal, sys
from pathlib import Path
import numpy as np
import hanse
from lib import steps

multiprocessing.set_start_method("spawn")
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
factor = float((Path(__file__).parent / "settings" / "factor.txt").read_text()) * float(sys.argv[1])
model = {"weight": np.random.random(100)}

def test(model):
    return {"examples": 3, "score": float(model["weight"].sum())}

for round in hanse.rounds(model, evaluate=test):
    model["weight"] += factor * steps.step(round.number) * np.random.random(100)
    metrics = {"loss": 1 / round.number}
    round.report(examples=3, **metrics)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_of_several_files_is_simulated_saved_and_deployed_with_one_model(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name, text in {
        "trial.py": OF_FILES,
        "lib/__init__.py": "",
        "lib/steps.py": "from lib.base import BASE\n\ndef step(number):\n    return BASE / number\n",
        "lib/base.py": "BASE = 2.0\n",
        "settings/factor.txt": "0.5",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    sites = ("--site", "a", "--site", "b", "--rounds", 2)

    hanse(
        "simulate",
        project / "trial.py",
        *sites,
        *("--code", "settings", "--save-plan", project / "plan.yaml", "--output", tmp_path / "of-script"),
        *("--", "0.1"),
    )
    hanse("simulate", project / "plan.yaml", *sites, "--output", tmp_path / "of-plan")
    with deployed(tmp_path / "deployed", "a", "b") as federation:
        run = federation.submit_file(project / "plan.yaml")
        run.finished()
        results = run.export(tmp_path / "results")

    folders = (results, tmp_path / "of-plan", tmp_path / "of-script")
    digests = {sha256((folder / "model.safetensors").read_bytes()) for folder in folders}
    assert len(digests) == 1
