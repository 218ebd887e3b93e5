"""Plan code to test with: learners that, at a site named b, have in round 2 no answer that counts.

By the option `stumble`, the site fails before it trains (`before`), or trains and then gives what its agent
does not let out (`after`).
"""

import dataclasses

import momentum
import numpy as np

import hanse


class Stumbling(momentum.Momentum):
    """Stumbles once."""

    def train(self, parameters, task):
        stumbles = self._site.name == "b" and task.round_number == 2
        if stumbles and self._site.options["stumble"] == "before":
            raise RuntimeError("it stumbles")
        result = self._trained(parameters, task)
        return dataclasses.replace(result, metrics={"undeclared": 1.0}) if stumbles else result

    def _trained(self, parameters, task):
        return super().train(parameters, task)


class Headed(Stumbling):
    """Has a bias besides, and keeps no momentum."""

    def parameters(self):
        return {"weight": np.zeros_like(self._target), "head.bias": np.zeros_like(self._target)}

    def _trained(self, parameters, task):
        slope = parameters["weight"] + parameters["head.bias"] - self._target
        trained = {name: array - np.float32(0.1) * slope for name, array in parameters.items()}
        return hanse.TaskResult(1, {"loss": float(np.mean(slope**2))}, trained)

    def evaluate(self, parameters, task):
        slope = parameters["weight"] + parameters["head.bias"] - self._target
        return hanse.TaskResult(1, {"loss": float(np.mean(slope**2))})

    def local_state(self):
        return {}


def learner(site):
    return Stumbling(site)


def headed(site):
    return Headed(site)
