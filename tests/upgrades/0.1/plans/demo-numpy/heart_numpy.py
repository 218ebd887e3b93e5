"""Logistic regression in plain NumPy, one learner a hospital."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from heart_data import NUM_INPUTS, Floats, Indices, Patients, accuracy, auc, load

import hanse

Parameters = Mapping[str, Floats]


class NumpyHeart:
    """Predicts heart disease by logistic regression, trained by mini-batch gradient descent.

    Parameters are `weight`, shape (13,), and `bias`, shape (); float32.
    """

    def __init__(self, train: Patients, held_out: Patients) -> None:
        self._train = train
        self._held_out = held_out

    def parameters(self) -> dict[str, Floats]:
        """The first model: zeros, which give every patient even odds."""
        return {"weight": np.zeros(NUM_INPUTS, np.float32), "bias": np.zeros((), np.float32)}

    def train(self, parameters: Parameters, task: hanse.Task) -> hanse.TaskResult:
        """Take a step of size `lr` against the gradient of each batch."""
        lr = np.float32(task.settings["lr"])
        trained = dict(parameters)
        for batch in batches(len(self._train.y), task):
            patients = Patients(self._train.x[batch], self._train.y[batch])
            slope = gradient(trained, patients)
            trained = {name: np.asarray(trained[name] - lr * slope[name]) for name in trained}
        return hanse.TaskResult(len(self._train.y), {"loss": loss(trained, self._train)}, trained)

    def evaluate(self, parameters: Parameters, task: hanse.Task) -> hanse.TaskResult:
        """Measure on the hospital's held-out patients."""
        patients = self._held_out
        scores = logits(parameters, patients.x)
        metrics = {
            "loss": loss(parameters, patients),
            "accuracy": accuracy(scores, patients.y),
            "auc": auc(scores, patients.y),
        }
        return hanse.TaskResult(len(patients.y), metrics)


def learner(site: hanse.Site) -> NumpyHeart:
    """Make the learner of one hospital."""
    return NumpyHeart(*load(site.data["heart"]))


def batches(count: int, task: hanse.Task) -> Iterator[Indices]:
    """Indices of each batch, pass after shuffled pass: `batches` of them, or `epochs` passes."""
    random = np.random.default_rng(task.seed)
    size = task.settings.get("batch_size", 16)
    in_a_pass = math.ceil(count / size)
    total = task.settings.get("batches", in_a_pass * task.settings.get("epochs", 1))
    order = np.arange(count)
    for number in range(total):
        place = number % in_a_pass
        if place == 0:
            order = random.permutation(count)
        yield order[place * size : (place + 1) * size]


def logits(parameters: Parameters, x: Floats) -> Floats:
    """Log-odds of the disease, shape (patients,)."""
    return np.asarray(x @ parameters["weight"] + parameters["bias"])


def loss(parameters: Parameters, patients: Patients) -> float:
    """Mean cross-entropy, in nats."""
    z = logits(parameters, patients.x)
    return float(np.mean(np.logaddexp(0, z) - z * patients.y))


def gradient(parameters: Parameters, patients: Patients) -> dict[str, Floats]:
    """Gradient of `loss`, by the names of the parameters."""
    # The logistic function, written so that it cannot overflow.
    probability = (1 + np.tanh(logits(parameters, patients.x) / 2)) / 2
    error = (probability - patients.y) / np.float32(len(patients.y))
    return {"weight": error @ patients.x, "bias": error.sum()}
