"""The learner of the demo's plan that is written with PyTorch."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.demo.files import HEART_DISEASE
from hanse.learners.bundle import load_factory

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

SITE = Site("cleveland", DataSources("cleveland", {"heart": HEART_DISEASE / "cleveland.csv"}))
ONE_STEP = Task("train", 1, 1, {"batches": 1, "batch_size": 1000, "lr": 0.1})


def test_it_takes_the_step_and_measures_as_the_one_in_numpy(
    plan_folder: Path, heart_numpy: ModuleType
) -> None:
    ours, theirs = heart_numpy.learner(SITE), load_factory(plan_folder, "heart_torch:learner")(SITE)
    first = {"weight": np.linspace(-1, 1, 13, dtype=np.float32), "bias": np.asarray(0.5, np.float32)}

    expected = ours.train(first, ONE_STEP)
    found = theirs.train(
        {"weight": first["weight"].reshape(1, 13), "bias": first["bias"].reshape(1)}, ONE_STEP
    )

    assert found.num_examples == expected.num_examples
    for name, array in expected.parameters.items():
        assert found.parameters[name].ravel() == pytest.approx(array.ravel(), rel=1e-5)
    measured = theirs.evaluate(found.parameters, Task("evaluate", 1, 1))
    assert measured.num_examples == 104
    assert measured.metrics == pytest.approx(ours.evaluate(expected.parameters, ONE_STEP).metrics, rel=1e-5)
