"""Learners of the training data of several sites."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from hanse.core.values.update import Task
from hanse.learners.base import PoolingLearner

TRAIN = Task("train", 1, 1, {"epochs": 2})


@pytest.mark.sklearn
@pytest.mark.parametrize("weights", [(), (np.ones(5),)], ids=["no weights", "weights"])
def test_a_scikit_learn_learner_pools_the_training_data_alone(weights: tuple[Any, ...]) -> None:
    from sklearn.linear_model import Ridge

    from hanse.learners.sklearn import SklearnLearner

    x = np.random.default_rng(0).normal(size=(12, 3))
    y = x @ [1.0, -2.0, 3.0]
    held_out = (x[:1], y[:1])
    mine, theirs = (x[:5], y[:5], *weights), (x[5:], y[5:])
    first, second = (SklearnLearner(Ridge(), train, held_out) for train in (mine, theirs))
    whole = SklearnLearner(Ridge(), (x, y), held_out)

    pooled = first.pooled([second])
    trained = pooled.train(pooled.parameters(), Task("train", 1, 1))

    assert isinstance(pooled, PoolingLearner)
    assert trained.num_examples == 12
    expected = whole.train(whole.parameters(), Task("train", 1, 1)).parameters or {}
    assert np.allclose((trained.parameters or {})["coef_"], expected["coef_"])


@pytest.mark.sklearn
def test_learners_of_other_labels_are_not_pooled() -> None:
    from sklearn.linear_model import SGDClassifier

    from hanse.learners.sklearn import SklearnLearner

    x = np.eye(2)
    a, b = (SklearnLearner(SGDClassifier(), (x, labels), (x, labels)) for labels in ([0, 1], [0, 2]))

    with pytest.raises(ValueError, match="other labels"):
        a.pooled([b])


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["tensors", "datasets", "both"])
def test_a_torch_learner_pools_the_training_data_alone(kind: str) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import Subset, TensorDataset

    from hanse.learners.torch import TorchLearner

    x = torch.linspace(-1, 1, 24).reshape(12, 2)
    y = x.sum(dim=1, keepdim=True)
    tensors = [(x[:5], y[:5]), (x[5:], y[5:])]
    sets = [Subset(TensorDataset(x, y), range(5)), Subset(TensorDataset(x, y), range(5, 12))]
    data: list[Any] = {"tensors": tensors, "datasets": sets, "both": [tensors[0], sets[1]]}[kind]
    first, second = (
        TorchLearner(
            torch.nn.Linear(2, 1), torch.nn.MSELoss(), partial(torch.optim.SGD, lr=0.1), part, (x[:1], y[:1])
        )
        for part in data
    )

    pooled = first.pooled([second])

    assert isinstance(pooled, PoolingLearner)
    assert pooled.train(pooled.parameters(), TRAIN).num_examples == 12
    assert pooled.evaluate(pooled.parameters(), Task("evaluate", 1, 1)).num_examples == 1
    assert second.train(second.parameters(), TRAIN).num_examples == 7


@pytest.mark.torch
def test_data_in_loaders_are_not_pooled() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, TensorDataset

    from hanse.learners.torch import TorchLearner

    loader = DataLoader(TensorDataset(torch.ones(4, 2), torch.ones(4, 1)))
    learner = TorchLearner(
        torch.nn.Linear(2, 1), torch.nn.MSELoss(), partial(torch.optim.SGD, lr=0.1), loader, loader
    )

    with pytest.raises(ValueError, match="train is a DataLoader"):
        learner.pooled([learner])
