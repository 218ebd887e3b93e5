"""Plan code to test with: a model and counts that are summed masked; tasks wait as in `momentum`."""

import numpy as np
from momentum import Momentum

import hanse


class Masked(Momentum):
    """Trains without momentum or noise, and counts."""

    def train(self, parameters, task):
        self._begin(task.name, task.round_number)
        slope = parameters["weight"] - self._target
        trained = {"weight": parameters["weight"] - np.float32(task.settings["lr"]) * slope}
        return hanse.TaskResult(10 * int(self._target[0]), {"loss": float(np.mean(slope**2))}, trained)

    def count(self, parameters, task):
        self._begin(task.name, task.round_number)
        if (self._site.data["numbers"] / "fail-late").exists():
            raise RuntimeError("told to fail")
        counts = np.histogram(self._target, np.arange(6))[0].astype(np.int64)
        return hanse.TaskResult(4, {"mean": float(self._target.mean())}, groups={"counts": counts})


def learner(site):
    return Masked(site)


def workflow(federation):
    """Counts in each round, and commits what was counted."""
    for round in federation.rounds():
        counted = round.sum("count")
        round.commit(metrics=counted.metrics, results={"counts": {"all": counted.groups["counts"]}})
