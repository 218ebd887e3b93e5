"""The learner of the demo's plan that is written with scikit-learn."""

from pathlib import Path

import pytest

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.demo.files import HEART_DISEASE
from hanse.learners.bundle import load_factory

pytestmark = pytest.mark.sklearn
pytest.importorskip("sklearn")


@pytest.mark.parametrize("file", ["cleveland.csv", "switzerland.csv"])
def test_it_learns_also_where_all_training_patients_are_ill(plan_folder: Path, file: str) -> None:
    site = Site("s", DataSources("s", {"heart": HEART_DISEASE / file}))
    learner = load_factory(plan_folder, "heart_sklearn:learner")(site)
    first = learner.parameters()

    trained = learner.train(first, Task("train", 1, 1, {"batches": 50, "batch_size": 16, "lr": 0.01}))

    task = Task("evaluate", 1, 1)
    before, after = learner.evaluate(first, task).metrics, learner.evaluate(trained.parameters, task).metrics
    assert after["loss"] < before["loss"]
    assert after["accuracy"] > before["accuracy"]
