"""A learner of one number, that a test can give to `hanse.simulate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hanse

Floats = np.typing.NDArray[np.float32]

PLAN = """
name: adding
code: [adding.py]
learner: adding:learner
rounds: 2
seed: 3
data: [step]
tasks:
  train: {lr: 0.5, discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
"""
LEARNER = """
import random
import numpy as np
import hanse

def learner(site):
    return Adder(float(site.data["step"].read_text()))

class Adder:
    def __init__(self, step):
        self.step = step

    def parameters(self):
        return {"w": np.zeros(2, np.float32)}

    def train(self, parameters, task):
        w = parameters["w"] + np.float32(self.step * task.settings["lr"] * random.random())
        return hanse.TaskResult(int(self.step), {"loss": float(w[0])}, {"w": w})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {})
"""


class Adder:
    """Adds the site's number in each round, and reports the model as `loss` and `ratio`."""

    def __init__(self, step: float) -> None:
        self.step = np.float32(step)

    def parameters(self) -> dict[str, Floats]:
        return {"w": np.zeros(2, np.float32)}

    def train(self, parameters: dict[str, Floats], task: hanse.Task) -> hanse.TaskResult:
        w = parameters["w"] + self.step
        return hanse.TaskResult(int(self.step), {"loss": float(w[0])}, {"w": w})

    def evaluate(self, parameters: dict[str, Floats], task: hanse.Task) -> hanse.TaskResult:
        return hanse.TaskResult(1, {"ratio": float(parameters["w"][0] / self.step)})


@pytest.fixture
def adder() -> Callable[[hanse.Site], Adder]:
    """Makes the learner of a site whose data are its number."""
    return lambda site: Adder(site.data["data"])


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan with its code, and `1.txt` and `2.txt` with the data of two sites."""
    folder = tmp_path / "plan"
    folder.mkdir()
    (folder / "plan.yaml").write_text(PLAN, "utf-8")
    (folder / "adding.py").write_text(LEARNER, "utf-8")
    for name in "12":
        (folder / f"{name}.txt").write_text(name, "utf-8")
    return folder / "plan.yaml"
