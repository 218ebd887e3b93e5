"""Plan code to test with: a model, and groups of every kind beside it; tasks wait as in `momentum`."""

import numpy as np
from momentum import Momentum

import hanse


class Grouped(Momentum):
    """Trains with a control variate, and measures in bins that the workflow chooses."""

    def train(self, parameters, task):
        control = task.groups["control"]["weight"]
        shifted = {**parameters, "weight": parameters["weight"] - np.float32(0.1) * control}
        result = super().train(shifted, task)
        change = result.parameters["weight"] - shifted["weight"]
        return hanse.TaskResult(
            result.num_examples, result.metrics, result.parameters, groups={"control": {"weight": change}}
        )

    def measure(self, parameters, task):
        self._begin(task.name, task.round_number)
        edges = task.groups["edges"]
        counts = np.histogram(self._target, np.append(edges, np.inf))[0].astype(np.int64)
        return hanse.TaskResult(
            len(self._target),
            groups={
                "counts": {"in_bins": counts, "scaled": counts * float(task.settings["scale"])},
                "largest": np.float64(self._target.max()),
                "middle": {"value": np.full(1, np.median(self._target), np.float64)},
            },
        )


def learner(site):
    return Grouped(site)


def workflow(federation):
    for round in federation.rounds():
        control = round.state.get("control") or hanse.zeros_like(round.model)
        trained = round.sum("train", groups={"control": control})
        control = hanse.add(control, trained.groups["control"], len(trained.sites) / len(round.population))
        edges = np.linspace(-4, 4, 4 + round.number)
        measured = round.sum("measure", groups={"edges": edges}, settings={"scale": 0.5})
        north = round.sum("measure", groups={"edges": edges}, settings={"scale": 2}, cells=["north"])
        assert np.array_equal(measured.groups["counts"]["in_bins"] * 0.5, measured.groups["counts"]["scaled"])
        assert north.sites == tuple(site for site in round.cohort if site in federation.cells["north"])
        round.commit(
            round.apply(trained),
            metrics=trained.metrics,
            state={"control": control},
            results={
                "counts": {
                    "all": measured.groups["counts"]["in_bins"],
                    "north": north.groups["counts"]["in_bins"],
                },
                "largest": np.array([value for _, value in sorted(measured.each["largest"].items())]),
                "middle": measured.groups["middle"]["value"],
            },
        )
