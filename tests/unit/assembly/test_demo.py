"""The demo's directory, its plan, and the measure of its model."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.assembly.demo import compare_model, free_directory, make_directory, write_demo_plan
from hanse.config.load import load_plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.demo.comparison import FEDERATED
from hanse.demo.files import HEART_DISEASE, HOSPITALS
from hanse.errors import ConfigError
from hanse.learners.bundle import load_factory
from hanse.wire.tensors import write_file


def test_a_directory_that_is_taken_is_followed_by_the_next(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        found = free_directory(tmp_path / "demo")
        make_directory(found)
        names.append(found.name)

    assert names == ["demo", "demo-2", "demo-3"]
    with pytest.raises(ConfigError, match="demo-3 exists already"):
        make_directory(tmp_path / "demo-3")


def test_other_rounds_stand_in_the_plan_that_is_kept(tmp_path: Path) -> None:
    loaded = write_demo_plan(tmp_path, "numpy", 3)

    assert loaded.manifest.plan.rounds == 3
    assert load_plan(tmp_path / "plan.yaml").digest == loaded.digest


def test_a_model_is_measured_at_every_hospital(tmp_path: Path) -> None:
    loaded = write_demo_plan(tmp_path, "numpy", 1)
    assert loaded.manifest.plan.learner is not None
    learner = load_factory(loaded.root, loaded.manifest.plan.learner)
    site = Site("zurich", DataSources("zurich", {"heart": HEART_DISEASE / HOSPITALS["zurich"]}))
    write_file(tmp_path / "model.safetensors", learner(site).parameters())

    comparison = compare_model(loaded, tmp_path / "model.safetensors")

    assert comparison.scores[FEDERATED].keys() == comparison.examples.keys() == HOSPITALS.keys()
    assert {"accuracy", "auc"} <= set(comparison.metrics)


@pytest.mark.parametrize(
    "learner",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_the_plan_with_secure_aggregation_has_all_hospitals_in_one_cell(tmp_path: Path, learner: str) -> None:
    pytest.importorskip(learner)

    manifest = write_demo_plan(tmp_path, learner, 2, secure=True).manifest

    assert manifest.plan.cells == {"all": tuple(sorted(HOSPITALS))}
    assert manifest.plan.rounds == 2
    assert manifest.initial_model is not None
    assert all(masks(manifest.plan, task) for task in manifest.plan.tasks)


def test_the_plan_with_secure_aggregation_trains_as_the_plain_one(tmp_path: Path) -> None:
    plain = write_demo_plan(tmp_path / "plain", "numpy", None).manifest.plan
    secure = write_demo_plan(tmp_path / "secure", "numpy", None, secure=True).manifest.plan

    for name, task in plain.tasks.items():
        assert secure.tasks[name].learner_settings() == task.learner_settings()
    assert (secure.seed, secure.rounds, secure.workflow) == (plain.seed, plain.rounds, plain.workflow)


@pytest.mark.parametrize(
    "learner",
    [
        "numpy",
        pytest.param("torch", marks=pytest.mark.torch),
        pytest.param("sklearn", marks=pytest.mark.sklearn),
    ],
)
def test_every_learner_gives_the_metrics_that_a_masked_sum_requires(tmp_path: Path, learner: str) -> None:
    pytest.importorskip(learner)
    plan = write_demo_plan(tmp_path, learner, None, secure=True).manifest.plan
    section = plan.privacy.secure_aggregation
    assert section is not None
    assert plan.learner is not None
    site = Site("zurich", DataSources("zurich", {"heart": HEART_DISEASE / HOSPITALS["zurich"]}))
    heart = load_factory(tmp_path, plan.learner)(site)

    for name, task in plan.tasks.items():
        result = getattr(heart, name)(heart.parameters(), Task(name, 1, 1, task.learner_settings()))
        missing = {*task.discloses.metrics} - result.metrics.keys()
        assert all(section.metrics[metric].optional for metric in missing)
