"""Small federations of four sites, simulated from plan and code at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hanse.assembly.plan_file import load_plan
from hanse.core.run.events import Event
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate

SITES = ("a", "b", "c", "d")
AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss"]}
INDIVIDUAL = {"update": "individual", "metrics": ["loss"]}

DATA = """\
import numpy as np
import hanse


def rows(name):
    random = np.random.default_rng(list(name.encode()))
    x = random.normal(size=(10 + 7 * (ord(name[0]) - ord("a")), 3))
    return x, x @ random.normal(size=3) + random.normal(size=len(x))


def gradient(w, x, y):
    return 2 * x.T @ (x @ w - y) / len(y)


def loss(w, x, y):
    return float(np.mean((x @ w - y) ** 2))


class Linear:
    def __init__(self, name):
        self.x, self.y = rows(name)

    def parameters(self):
        return {"w": np.zeros(3)}

    def descended(self, w, task):
        for _ in range(task.settings.get("epochs", 1)):
            slope = task.correct({"w": gradient(w, self.x, self.y)}, {"w": w})
            w = w - task.settings["lr"] * slope["w"]
        return w

    def train(self, parameters, task):
        w = self.descended(parameters["w"], task)
        return hanse.TaskResult(len(self.y), {"loss": loss(w, self.x, self.y)}, {"w": w})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(len(self.y), {"loss": loss(parameters["w"], self.x, self.y)})
"""
"""Least squares at each site, by plain gradient descent on all of its rows."""

_MODULE: dict[str, Any] = {}
exec(DATA, _MODULE)  # the sites' code, for what is expected of it
rows, gradient, loss = _MODULE["rows"], _MODULE["gradient"], _MODULE["loss"]


def descended(w: Any, site: str, lr: float, steps: int) -> Any:
    """Coefficients after plain gradient descent at a site."""
    x, y = rows(site)
    for _ in range(steps):
        w = w - lr * gradient(w, x, y)
    return w


def examples(site: str) -> int:
    """Number of rows at a site."""
    return len(rows(site)[1])


def run(folder: Path, code: str, **plan: Any) -> tuple[Outcome, list[Event]]:
    """Simulate a plan at four sites, whose learners `learner(site)` of the code makes; the events too."""
    (folder / "sites.py").write_text(DATA + code)
    whole = {"name": "trial", "code": ["sites.py"], "learner": "sites:learner", "rounds": 4, **plan}
    (folder / "plan.yaml").write_text(yaml.safe_dump(whole))
    state = folder / "state"
    state.mkdir()
    events: list[Event] = []
    loaded = load_plan(folder / "plan.yaml")
    sites = [VirtualSite(name) for name in SITES]
    outcome = simulate(loaded, sites, Settings(state, 0), lambda _, event: events.append(event))
    return outcome, events


def cohorts(events: list[Event]) -> list[tuple[str, ...]]:
    """The sites of each round from the first on."""
    from hanse.core.run.round_events import RoundOpened

    return [event.cohort for event in events if isinstance(event, RoundOpened) and event.round_number]


def close(found: Any, expected: Any) -> None:
    """Check that two arrays are equal but for rounding."""
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-12)
