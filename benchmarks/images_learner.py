"""A perceptron in NumPy for images of digits: the learner that `compression.py` trains at ten sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hanse

CLASSES = 10


class Perceptron:
    """Two hidden layers, trained by gradient descent on the site's share of the images.

    Args:
        images: The file of arrays.
        share: Which site of how many; of each site two thirds of the images show digits of its own.
            None for all images.
        hidden: Numbers of the hidden layers.
        seed: Of the first model.
    """

    def __init__(self, images: Path, share: tuple[int, int] | None, *, hidden=(200, 100), seed=0) -> None:
        with np.load(images) as found:
            self._train, self._labels = found["train"], found["labels"].astype(np.int64)
            self._test, self._truth = found["test"], found["truth"].astype(np.int64)
        if share is not None:
            chosen = dealt(self._labels, *share)
            self._train, self._labels = self._train[chosen], self._labels[chosen]
        self._sizes = (self._train.shape[1], *hidden, CLASSES)
        self._seed = seed

    def parameters(self):
        rng = np.random.default_rng(self._seed)
        model = {}
        for layer, (before, after) in enumerate(zip(self._sizes, self._sizes[1:], strict=False)):
            scale = np.sqrt(2 / before)
            model[f"{layer}.weight"] = (rng.standard_normal((before, after)) * scale).astype(np.float32)
            model[f"{layer}.bias"] = np.zeros(after, np.float32)
        return model

    def train(self, parameters, task):
        settings = task.settings
        trained = self.trained(
            parameters, settings["epochs"], task.seed, lr=settings["lr"], batch=settings["batch_size"]
        )
        return hanse.TaskResult(len(self._train), {}, trained)

    def evaluate(self, parameters, task):
        scores, _ = self._forward(parameters, self._test)
        accuracy = float((scores.argmax(axis=1) == self._truth).mean())
        return hanse.TaskResult(len(self._test), {"accuracy": accuracy})

    def trained(self, parameters, epochs, seed, *, lr=0.1, batch=32):
        model = {name: np.array(array) for name, array in parameters.items()}
        rng = np.random.default_rng(seed)
        for _ in range(epochs):
            order = rng.permutation(len(self._train))
            for begin in range(0, len(order), batch):
                self._step(model, order[begin : begin + batch], np.float32(lr))
        return model

    def _step(self, model, chosen, lr):
        scores, inputs = self._forward(model, self._train[chosen])
        slope = np.exp(scores - scores.max(axis=1, keepdims=True))
        slope /= slope.sum(axis=1, keepdims=True)
        slope[np.arange(len(chosen)), self._labels[chosen]] -= 1
        slope /= len(chosen)
        for layer in range(len(inputs) - 1, -1, -1):
            weight = model[f"{layer}.weight"]
            back = (slope @ weight.T) * (inputs[layer] > 0)
            weight -= lr * (inputs[layer].T @ slope)
            model[f"{layer}.bias"] -= lr * slope.sum(axis=0)
            slope = back

    def _forward(self, model, images):
        inputs = [images]
        for layer in range(len(self._sizes) - 1):
            summed = inputs[-1] @ model[f"{layer}.weight"] + model[f"{layer}.bias"]
            inputs.append(np.maximum(summed, 0))
        return summed, inputs[:-1]


def dealt(labels, index, count):
    """The images of one site: a third at random, the rest sorted by digit and cut into equal parts."""
    order = np.random.default_rng(0).permutation(len(labels))
    mixed, rest = order[: len(order) // 3], order[len(order) // 3 :]
    rest = rest[np.argsort(labels[rest], kind="stable")]
    return np.concatenate([np.array_split(mixed, count)[index], np.array_split(rest, count)[index]])


def learner(site):
    return Perceptron(site.data["images"], (site.index, site.count), seed=site.seed)
