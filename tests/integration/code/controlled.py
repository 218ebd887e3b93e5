"""Plan code to test with: local rules, and SCAFFOLD with normalised updates; tasks wait as in `momentum`."""

import numpy as np
from momentum import Momentum

import hanse


class Controlled(Momentum):
    """As many steps as the site's name has letters, each corrected; the momentum stays at the site."""

    def train(self, parameters, task):
        self._begin(task.name, task.round_number)
        random = np.random.default_rng(task.seed)
        model = {name: np.array(array) for name, array in parameters.items()}
        for _ in self._site.name:
            slope = model["weight"] - self._target + random.normal(size=self._target.shape).astype(np.float32)
            self._velocity = (
                self._momentum * self._velocity + task.correct({"weight": slope}, model)["weight"]
            )
            model["weight"] -= np.float32(task.settings["lr"]) * self._velocity
            model["steps"] += np.ones((), np.int64)
        return hanse.TaskResult(len(self._site.name), {"loss": float(np.mean(slope**2))}, model)


def learner(site):
    return Controlled(site)


def scaffold(federation):
    for round in federation.rounds():
        control = round.state.get("control") or hanse.zeros_like(round.model)
        trained = round.sum("train", groups={"control": control})
        scale = len(trained.sites) / len(round.population)
        control = hanse.add(control, trained.groups["control"], scale)
        results = {"steps": trained.groups["steps"], "control": control}
        model = hanse.add(round.model, trained.delta, float(trained.groups["steps"]))
        round.commit(model, metrics=trained.metrics, state={"control": control}, results=results)
