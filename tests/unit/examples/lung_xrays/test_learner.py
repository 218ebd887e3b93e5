"""The network, its learner and its first model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.core.values.parameters import Parameters

pytestmark = pytest.mark.torch

OPTIONS = {"held_out": "test", "bins": 16, "lr": 0.01, "decay": 1.0}


def learner(case: SimpleNamespace, clinic: Path) -> Any:
    parts = (case.xrays.read(clinic, part) for part in ("train", "test"))
    return case.learner.XrayLearner(*parts, OPTIONS)


def task(name: str, **settings: Any) -> hanse.Task:
    return hanse.Task(name, 1, 1, settings)


def test_training_lowers_the_loss(case: SimpleNamespace, clinic: Path) -> None:
    one = learner(case, clinic)
    first: Parameters = {name: array.copy() for name, array in one.parameters().items()}

    trained = one.train(first, task("train", epochs=20, batch_size=6)).parameters
    trained = {name: array.copy() for name, array in trained.items()}

    before, after = (one.evaluate(model, task("evaluate")).metrics["loss"] for model in (first, trained))
    assert after < before


def test_evaluation_counts_every_image_by_diagnosis(case: SimpleNamespace, clinic: Path) -> None:
    one = learner(case, clinic)

    result = one.evaluate(one.parameters(), task("evaluate"))

    assert result.groups["scores"].sum(axis=1).tolist() == [4, 8]


def test_scores_do_not_depend_on_how_bright_an_image_is(case: SimpleNamespace, clinic: Path) -> None:
    images, _ = case.xrays.read(clinic, "test").tensors
    model = case.learner.network()

    plain, darker = (case.learner.probabilities(model, these) for these in (images, 0.2 + 0.5 * images))

    assert np.allclose(plain, darker, atol=2e-3)


def test_first_model_in_the_repository_is_that_of_the_script(case: SimpleNamespace) -> None:
    kept = hanse.load(case.folder / "start.safetensors")
    made = case.start.first_model()

    assert kept.keys() == made.keys()
    assert all(np.array_equal(kept[name], made[name].numpy()) for name in made)


def test_area_under_the_curve_and_calibration_of_a_few_scores(case: SimpleNamespace) -> None:
    scores, sick = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1])

    assert case.measures.auc(scores, sick) == pytest.approx(3.5 / 4)
    assert case.measures.calibration_error(scores, sick) == pytest.approx((0.1 + 2 * 0.1 + 0.1) / 4)
    assert np.trapezoid(*reversed(case.measures.roc(scores, sick))) == pytest.approx(3.5 / 4)
