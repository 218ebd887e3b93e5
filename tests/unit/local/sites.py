"""Virtual sites with least squares in float64, driven by sessions, and the papers' notation in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Array, Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.learners.session import LearnerSession
from hanse.local.applied import with_rules
from hanse.local.base import LocalRule

LR = 0.05
STEPS = (3, 5, 8)
"""Local steps of each site."""
MOMENTUM = 0.9


def problem(site: int) -> tuple[Array, Array]:
    """Inputs (20, 4) and targets (20,) of a site, unlike those of other sites."""
    random = np.random.default_rng(site)
    x = random.normal(site, 1 + site, size=(20, 4)) / (3 + 2 * site)
    return x, x @ random.normal(size=4) + random.normal(size=20)


def gradient(site: int, w: Array, b: Array) -> tuple[Array, Array]:
    """Gradients of half the mean square error of x w + b."""
    x, y = problem(site)
    residual = x @ w + b - y
    return x.T @ residual / len(y), np.asarray(residual.mean())


class LeastSquares:
    """Descends on all its examples, as many steps as its site has; with momentum where the task says so."""

    def __init__(self, site: Site) -> None:
        self.site = int(site.name)

    def parameters(self) -> Parameters:
        return {"w": np.zeros(4), "b": np.zeros(())}

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        model = {name: np.array(array) for name, array in parameters.items()}
        velocity = {name: np.zeros_like(array) for name, array in model.items()}
        for _ in range(STEPS[self.site]):
            gradients = dict(zip(("w", "b"), gradient(self.site, model["w"], model["b"]), strict=True))
            corrected = task.correct(gradients, model)
            for name in model:
                velocity[name] = task.settings.get("momentum", 0.0) * velocity[name] + corrected[name]
                model[name] = model[name] - LR * velocity[name]
        return TaskResult(20, {}, model)

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        return TaskResult(20)


class Sites:
    """Sessions of three sites, and what a workflow would make of their answers.

    Args:
        folder: For local state.
        rules: The local rules of `train`.
        settings: Its settings.
    """

    def __init__(self, folder: Path, rules: Sequence[LocalRule], **settings: Any) -> None:
        self._rules, self._settings, self._folder = rules, settings, folder
        self.number = 0
        self.restart()

    def restart(self) -> None:
        """Go on in processes that hold nothing."""
        self._sessions = [
            LearnerSession(
                LeastSquares, Site(str(index), DataSources(str(index), {})), self._folder / str(index)
            )
            for index in range(len(STEPS))
        ]

    def round(self, model: Parameters, groups: Groups | None = None) -> list[TaskResult]:
        """The answers of all sites."""
        self.number += 1
        task = Task("train", self.number, 1, self._settings, groups or {})
        return [
            session.perform(with_rules(task, self._rules), model, sequence=self.number)
            for session in self._sessions
        ]


def trained(result: TaskResult) -> Parameters:
    assert result.parameters is not None
    return result.parameters


def vector(parameters: Mapping[str, Any]) -> Array:
    """w and b as one vector, shape (5,)."""
    return np.concatenate([parameters["w"], np.reshape(parameters["b"], 1)])


def full_gradient(site: int, theta: Array) -> Array:
    """The gradient of a site's loss at a vector, shape (5,)."""
    w, b = gradient(site, theta[:4], theta[4])
    return np.concatenate([w, np.reshape(b, 1)])


def table(theta: Array) -> dict[str, Array]:
    """A vector as w and b."""
    return {"w": theta[:4].copy(), "b": np.asarray(theta[4])}
