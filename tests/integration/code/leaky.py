"""Plan code to test with that goes wrong at the site `b`: in each round by another of the plan's `faults`."""

import os

import numpy as np

import hanse
from hanse.core.values.significant import rounded_metrics
from hanse.learners import perform


class Leaky:
    """Learns nothing."""

    def __init__(self, site):
        self._faults = site.options["faults"] if site.name == "b" else []

    def parameters(self):
        return {"weight": np.zeros(4, np.float32)}

    def train(self, parameters, task):
        metrics, weight = {"loss": 1.0}, np.ones(4, np.float32)
        match dict(enumerate(self._faults, start=1)).get(task.round_number):
            case "undeclared metric":
                metrics["patient_17"] = 71.0
            case "nan":
                weight[0] = np.nan
            case "infinite metric":
                metrics["loss"] = float("inf")
            case "wrong shape":
                weight = np.ones(5, np.float32)
            case "more digits":
                # Past the code that rounds, as plan code can in its own process.
                perform.rounded_metrics = lambda metrics, digits: {"loss": 1 / 3}
            case "fewer digits":
                perform.rounded_metrics = rounded_metrics
                metrics["loss"] = 1 / 3
            case "exception":
                raise RuntimeError("no such patient")
            case "half a pair":
                raise RuntimeError("\ud800\x1b[2J")
            case "path":
                raise RuntimeError("/srv/patients/17.csv is not there")
            case "death":
                os._exit(3)
        return hanse.TaskResult(1, metrics, {"weight": weight})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1)


def learner(site):
    return Leaky(site)
