"""The learner that the demo's plan writes out in NumPy."""

from types import ModuleType

import numpy as np
import pytest

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.demo.files import HEART_DISEASE
from hanse.learners.base import Learner

SETTINGS = {"batches": 50, "batch_size": 16, "lr": 0.01}
TASK = Task("train", 1, seed=7, settings=SETTINGS)
SITE = Site("cleveland", DataSources("cleveland", {"heart": HEART_DISEASE / "cleveland.csv"}))


@pytest.fixture(scope="module")
def learner(heart_numpy: ModuleType) -> Learner:
    return heart_numpy.learner(SITE)


def test_it_is_a_learner(learner: Learner) -> None:
    assert isinstance(learner, Learner)


def test_the_gradient_is_the_slope_of_the_loss(heart_numpy: ModuleType) -> None:
    patients = heart_numpy.load(SITE.data["heart"])[0]
    random = np.random.default_rng(1)
    at = {"weight": random.normal(size=13), "bias": np.asarray(random.normal())}
    direction = {"weight": random.normal(size=13), "bias": np.asarray(random.normal())}
    step = 1e-5

    above, below = ({name: at[name] + sign * step * direction[name] for name in at} for sign in (1, -1))
    slope = (heart_numpy.loss(above, patients) - heart_numpy.loss(below, patients)) / (2 * step)

    gradient = heart_numpy.gradient(at, patients)
    assert sum(np.vdot(gradient[name], direction[name]) for name in at) == pytest.approx(slope, rel=1e-5)


def test_training_lowers_the_loss_and_tells_more_patients_right(learner: Learner) -> None:
    first = learner.parameters()

    trained = learner.train(first, TASK)

    before, after = learner.evaluate(first, TASK).metrics, learner.evaluate(trained.parameters, TASK).metrics
    assert after["loss"] < before["loss"] == pytest.approx(np.log(2))
    assert after["accuracy"] > before["accuracy"]
    assert after["auc"] > before["auc"] == 0.5


def test_the_same_seed_trains_the_same_model_to_the_bit(learner: Learner) -> None:
    def trained(seed: int) -> bytes:
        result = learner.train(learner.parameters(), Task("train", 1, seed, SETTINGS))
        return result.parameters["weight"].tobytes()

    assert trained(1) == trained(1) != trained(2)


def test_parameters_keep_names_shapes_and_dtypes_and_are_not_changed(learner: Learner) -> None:
    first = learner.parameters()
    for array in first.values():
        array.flags.writeable = False

    trained = learner.train(first, TASK).parameters

    assert {name: (array.shape, array.dtype) for name, array in trained.items()} == {
        "weight": ((13,), np.float32),
        "bias": ((), np.float32),
    }


def test_the_patients_it_trained_and_was_measured_on_are_counted(learner: Learner) -> None:
    assert learner.train(learner.parameters(), TASK).num_examples == 199
    assert learner.evaluate(learner.parameters(), TASK).num_examples == 104


def test_a_pass_takes_every_patient_once(heart_numpy: ModuleType) -> None:
    batches = list(heart_numpy.batches(10, Task("train", 1, 3, {"batch_size": 4, "epochs": 2})))

    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for one in (batches[:3], batches[3:]):
        assert sorted(np.concatenate(one)) == list(range(10))


def test_as_many_batches_are_taken_as_the_plan_says(heart_numpy: ModuleType) -> None:
    task = Task("train", 1, 3, {"batch_size": 4, "batches": 7})

    assert [len(batch) for batch in heart_numpy.batches(10, task)] == [4, 4, 2, 4, 4, 2, 4]
