"""Plan code to test with: a learner with labels, which are others at the site `b`; it trains nothing."""

import numpy as np

import hanse
from hanse.learners.agreement import Agreement


class Labelled:
    """Gives back what it gets."""

    def __init__(self, site):
        self._labels = ("Jane Doe", "sick") if site.name == "b" else ("healthy", "sick")

    def agreement(self):
        return Agreement(self._labels)

    def parameters(self):
        return {"weight": np.zeros(4, np.float32)}

    def train(self, parameters, task):
        return hanse.TaskResult(1, {"loss": 1.0}, parameters)

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1)


def learner(site):
    return Labelled(site)
