"""A model that several sites train together: put your own data and model in the marked places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import hanse

Array = npt.NDArray[Any]
Parameters = Mapping[str, Array]

# Patients of four hospitals, which come with Hanse; see the README.md in that folder.
EXAMPLE = Path(hanse.__file__).parent / "data" / "heart_disease"

# Columns of the table, each with a usual value and spread that all sites scale it by.
COLUMNS = {
    "age": (54, 9),
    "sex": (0.5, 0.5),
    "cp": (3, 1),
    "trestbps": (130, 20),
    "thalach": (140, 25),
    "exang": (0.5, 0.5),
    "oldpeak": (1, 1),
}


def learner(site: hanse.Site) -> hanse.Learner:
    """Make the learner of one site: the one function that the plan names."""
    # Your data: what the site calls `heart` in its site.yaml. A virtual site has no data
    # of its own; it is dealt its share of the example.
    if site.data:
        x, y = read([site.data["heart"]])
    else:
        x, y = read(sorted(EXAMPLE.glob("*.csv")))
        mine = site.share(y)
        x, y = x[mine], y[mine]
    held_out = np.arange(len(y)) % 4 == 0
    return LogisticRegression(train=(x[~held_out], y[~held_out]), validate=(x[held_out], y[held_out]))


class LogisticRegression:
    """Your model. This one is written out in NumPy.

    For PyTorch and scikit-learn it need not be written: return a
    `hanse.learners.torch.TorchLearner` or `hanse.learners.sklearn.SklearnLearner`.
    """

    def __init__(self, train: tuple[Array, Array], validate: tuple[Array, Array]) -> None:
        self._train = train
        self._validate = validate

    def parameters(self) -> Parameters:
        """The first model."""
        return {"weight": np.zeros(len(COLUMNS), np.float32), "bias": np.zeros((), np.float32)}

    def train(self, parameters: Parameters, task: hanse.Task) -> hanse.TaskResult:
        """Train on the site's data with the settings of the plan, and give back the trained model."""
        x, y = self._train
        weight, bias = parameters["weight"], parameters["bias"]
        lr, size = np.float32(task.settings["lr"]), task.settings["batch_size"]
        random = np.random.default_rng(task.seed)
        for _ in range(task.settings["epochs"]):
            order = random.permutation(len(y))
            for start in range(0, len(y), size):
                batch = order[start : start + size]
                step = lr / np.float32(len(batch)) * (probability(weight, bias, x[batch]) - y[batch])
                weight = weight - step @ x[batch]
                bias = bias - step.sum()
        trained = {"weight": np.asarray(weight), "bias": np.asarray(bias)}
        return hanse.TaskResult(len(y), {"loss": loss(trained, x, y)}, trained)

    def evaluate(self, parameters: Parameters, task: hanse.Task) -> hanse.TaskResult:
        """Measure the model on the site's held-out data."""
        x, y = self._validate
        right = (probability(parameters["weight"], parameters["bias"], x) > 0.5) == (y == 1)
        return hanse.TaskResult(len(y), {"loss": loss(parameters, x, y), "accuracy": mean(right)})


def read(files: list[Path]) -> tuple[Array, Array]:
    """Read patients without a missing value: scaled columns, and 1 for the ill or 0."""
    names = (*COLUMNS, "num")
    table = np.concatenate([np.genfromtxt(file, delimiter=",", names=True) for file in files])
    table = table[~np.any([np.isnan(table[name]) for name in names], axis=0)]
    x = np.stack([(table[name] - usual) / spread for name, (usual, spread) in COLUMNS.items()], axis=1)
    return x.astype(np.float32), (table["num"] > 0).astype(np.float32)


def probability(weight: Array, bias: Array, x: Array) -> Array:
    """Probability of the disease, by patient."""
    return np.asarray((1 + np.tanh((x @ weight + bias) / 2)) / 2)


def loss(parameters: Parameters, x: Array, y: Array) -> float:
    """Mean cross-entropy, in nats."""
    z = x @ parameters["weight"] + parameters["bias"]
    return mean(np.logaddexp(0, z) - z * y)


def mean(values: Array) -> float:
    """Mean, or 0 where there is nothing: a virtual site may be dealt nobody."""
    return float(values.sum() / max(len(values), 1))
