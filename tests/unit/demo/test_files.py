"""What `hanse demo` and `hanse new` put into a folder."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hanse.assembly.plan_file import load_plan
from hanse.core.plan.plan import Plan
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.demo.files import (
    HEART_DISEASE,
    HOSPITALS,
    INITIAL_MODEL,
    LEARNERS,
    TEMPLATES,
    write_plan,
    write_project,
)
from hanse.errors import ConfigError
from hanse.learners.bundle import load_factory


def read_plan(file: Path) -> Plan:
    return load_plan(file).manifest.plan


def load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_demos_plan_is_written_with_the_code_it_lists(tmp_path: Path, learner: str) -> None:
    plan = read_plan(write_plan(tmp_path / "plan", learner))

    assert plan.learner == f"heart_{learner}:learner"
    assert {file.name for file in (tmp_path / "plan").iterdir()} == {"plan.yaml", *plan.code}


@pytest.mark.parametrize(
    ("learner", "needs"),
    [
        ("numpy", "numpy"),
        pytest.param("torch", "torch", marks=pytest.mark.torch),
        pytest.param("sklearn", "sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_the_demos_plan_declares_every_metric_that_its_learner_reports(
    tmp_path: Path, learner: str, needs: str
) -> None:
    pytest.importorskip(needs)
    plan = read_plan(write_plan(tmp_path, learner))
    site = Site("va", DataSources("va", {"heart": HEART_DISEASE / "va.csv"}))
    heart = load_factory(tmp_path, plan.learner)(site)

    for name, task in plan.tasks.items():
        result = getattr(heart, name)(heart.parameters(), Task(name, 1, 1, task.learner_settings()))
        assert set(result.metrics) <= set(task.discloses.metrics)
        assert "loss" in result.metrics


def test_an_unknown_learner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="numpy, torch, sklearn, got 'jax'"):
        write_plan(tmp_path, "jax")


def test_every_hospital_has_a_file() -> None:
    assert {file.name for file in HEART_DISEASE.glob("*.csv")} == set(HOSPITALS.values())


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_project_has_its_own_name(template: str, tmp_path: Path) -> None:
    plan = read_plan(write_project(tmp_path / "lungs", "lungs", template)[0])

    assert plan.name == "lungs"
    assert {file.name for file in (tmp_path / "lungs").iterdir()} == {"plan.yaml", *plan.code}


def test_a_project_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        write_project(tmp_path, "lungs")


def test_sites_without_data_learn_from_their_shares_of_the_example(tmp_path: Path) -> None:
    plan = read_plan(write_project(tmp_path / "new", "new")[0])
    federation = load(tmp_path / "new" / "federation.py")
    sites = [
        Site(f"s{i}", DataSources("s", {}), partition=lambda y, i=i: np.arange(i, len(y), 4))
        for i in range(4)
    ]
    learners = [federation.learner(site) for site in sites]
    model = first = learners[0].parameters()

    for round_number in range(1, plan.rounds + 1):
        task = Task("train", round_number, round_number, plan.tasks["train"].learner_settings())
        trained = [learner.train(model, task).parameters for learner in learners]
        model = {name: np.mean([one[name] for one in trained], axis=0, dtype=np.float32) for name in model}

    def accuracy(parameters: dict[str, np.ndarray]) -> float:
        task = Task("evaluate", 1, 1)
        return float(np.mean([one.evaluate(parameters, task).metrics["accuracy"] for one in learners]))

    assert accuracy(model) > accuracy(first) + 0.1


def test_a_site_with_data_of_its_own_learns_from_that(tmp_path: Path) -> None:
    write_project(tmp_path / "new", "new")
    federation = load(tmp_path / "new" / "federation.py")
    site = Site("zurich", DataSources("zurich", {"heart": HEART_DISEASE / "switzerland.csv"}))
    zurich = federation.learner(site)

    # Every fourth of the 117 that have the columns in use.
    assert zurich.evaluate(zurich.parameters(), Task("evaluate", 1, 1)).num_examples == 30


def test_a_site_that_is_dealt_nobody_changes_nothing(tmp_path: Path) -> None:
    write_project(tmp_path / "new", "new")
    federation = load(tmp_path / "new" / "federation.py")
    nobody = federation.learner(Site("s", DataSources("s", {}), partition=lambda y: np.arange(0)))
    first = nobody.parameters()

    result = nobody.train(first, Task("train", 1, 1, {"epochs": 1, "batch_size": 4, "lr": 0.1}))

    assert result.num_examples == 0
    assert np.array_equal(result.parameters["weight"], first["weight"])


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_plan_with_secure_aggregation_names_a_first_model(tmp_path: Path, learner: str) -> None:
    text = write_plan(tmp_path / "plan", learner, secure=True).read_text()

    assert f"initial_model: {INITIAL_MODEL}" in text
    assert f"learner: heart_{learner}:learner" in text
