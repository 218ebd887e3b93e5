"""A learner in NumPy, and three workflows of one's own: by asking, by summing, and as a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hanse

EXAMPLE = Path(hanse.__file__).parent / "data" / "heart_disease"  # four hospitals, one file each
COLUMNS = {"age": 100, "sex": 1, "cp": 4, "trestbps": 200, "thalach": 200, "exang": 1, "oldpeak": 5}


def median(federation: hanse.Federation) -> None:
    """Add the median of the sites' updates, tensor by tensor: one site alone cannot move it far."""
    for round in federation.rounds():
        updates = list(round.ask("train"))
        model = {
            name: array + np.median([update.delta[name] for update in updates], axis=0).astype(array.dtype)
            for name, array in round.model.items()
        }
        scores = round.ask("evaluate", model)
        round.commit(model, metrics=hanse.mean_metrics(scores))


def momentum(federation: hanse.Federation) -> None:
    """Add the mean update and half of the step before; needs no site's own update."""
    for round in federation.rounds():
        mean = round.sum("train")
        before = round.state or {name: np.zeros_like(array) for name, array in round.model.items()}
        step = {name: delta + before[name] / 2 for name, delta in mean.delta.items()}
        model = {name: array + step[name] for name, array in round.model.items()}
        round.commit(model, metrics=mean.metrics, state=step)


def asynchronous(federation: hanse.Federation) -> None:
    """Add each update when it comes, the less the older the model is that it started from."""
    for update in federation.stream("train"):
        weight = np.float32(1 / (1 + update.staleness) / len(federation.population))
        model = {name: array + weight * update.delta[name] for name, array in federation.model.items()}
        federation.commit(model, metrics=update.metrics)


def learner(site: hanse.Site) -> LogisticRegression:
    """The patients of this site: what it calls `heart`, else its share of the example."""
    source = site.data.get("heart", EXAMPLE)
    files = sorted(source.glob("*.csv")) if source.is_dir() else [source]
    table = np.concatenate([np.genfromtxt(file, delimiter=",", names=True) for file in files])
    table = table[~np.any([np.isnan(table[name]) for name in COLUMNS], axis=0)]
    table = table[site.share(table["num"])]
    x = np.stack([table[name] / scale for name, scale in COLUMNS.items()], axis=1).astype(np.float32)
    return LogisticRegression(x, (table["num"] > 0).astype(np.float32))


class LogisticRegression:
    """Trains on three quarters of the patients, evaluates on the others."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        held_out = np.arange(len(y)) % 4 == 0
        self._train = x[~held_out], y[~held_out]
        self._held_out = x[held_out], y[held_out]

    def parameters(self) -> dict[str, np.ndarray]:
        return {"weight": np.zeros(len(COLUMNS), np.float32), "bias": np.zeros(1, np.float32)}

    def train(self, parameters: dict[str, np.ndarray], task: hanse.Task) -> hanse.TaskResult:
        x, y = self._train
        weight, bias = parameters["weight"], parameters["bias"]
        for _ in range(task.settings["epochs"]):
            error = 1 / (1 + np.exp(-(x @ weight + bias))) - y
            weight = weight - task.settings["lr"] * error @ x / len(y)
            bias = bias - task.settings["lr"] * error.mean(keepdims=True)
        trained = {"weight": np.asarray(weight, np.float32), "bias": np.asarray(bias, np.float32)}
        return hanse.TaskResult(len(y), self._measure(trained, x, y), trained)

    def evaluate(self, parameters: dict[str, np.ndarray], task: hanse.Task) -> hanse.TaskResult:
        x, y = self._held_out
        return hanse.TaskResult(len(y), self._measure(parameters, x, y))

    def _measure(self, parameters: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        z = x @ parameters["weight"] + parameters["bias"]
        loss = np.logaddexp(0, z) - z * y
        return {"loss": float(loss.mean()), "accuracy": float(((z > 0) == (y > 0)).mean())}
