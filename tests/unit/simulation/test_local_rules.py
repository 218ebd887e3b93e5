"""Algorithms with local rules in whole simulations: a plan, its learner or script, and its workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from hanse.config.load import load_plan
from hanse.core.values.parameters import Array
from hanse.errors import HanseError
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate

SITES = ("a", "b", "c")
STEPS = {"a": 2, "b": 3, "c": 5}
LR = 0.05
ROUNDS = 4

PROBLEM = """
import numpy as np

def problem(name):
    number = "abc".index(name)
    random = np.random.default_rng(number)
    x = random.normal(number, 1 + number, size=(20, 3)) / (3 + 2 * number)
    return x, x @ random.normal(size=3) + random.normal(size=20)

def gradient(name, w):
    x, y = problem(name)
    return x.T @ (x @ w - y) / len(y)

STEPS = {"a": 2, "b": 3, "c": 5}
"""
LEARNER = """
import numpy as np
import hanse
from problem import STEPS, gradient

def learner(site):
    return LeastSquares(site.name)

class LeastSquares:
    def __init__(self, name):
        self.name = name

    def parameters(self):
        return {"w": np.zeros(3)}

    def train(self, parameters, task):
        w = np.array(parameters["w"])
        for _ in range(STEPS[self.name]):
            w = w - 0.05 * task.correct({"w": gradient(self.name, w)}, {"w": w})["w"]
        return hanse.TaskResult(20, {}, {"w": w})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(20)
"""
SCRIPT = """
import numpy as np
import hanse
from problem import STEPS, gradient

name = hanse.site().name
model = {"w": np.zeros(3)}
for round in hanse.rounds(model):
    for _ in range(STEPS[name]):
        gradients = round.correct({"w": gradient(name, model["w"])}, model)
        model["w"] -= 0.05 * gradients["w"]
    round.report(examples=20)
"""
TORCH_SCRIPT = """
import torch
import hanse
from problem import STEPS, problem

name = hanse.site().name
x, y = (torch.from_numpy(array) for array in problem(name))
model = torch.nn.Module()
model.w = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for round in hanse.rounds(model):
    for _ in range(STEPS[name]):
        optimizer.zero_grad()
        ((x @ model.w - y) ** 2 / 2).mean().backward()
        round.correct()
        optimizer.step()
    round.report(examples=20)
"""
WORKFLOWS = """
import hanse

def scaffold(federation):
    for round in federation.rounds():
        c = round.state.get("control") or hanse.zeros_like(round.model)
        a = round.sum("train", groups={"control": c})
        c = hanse.add(c, a.groups["control"], scale=len(a.sites) / len(round.population))
        round.commit(round.apply(a), metrics=a.metrics, state={"control": c})

def fednova(federation):
    for round in federation.rounds():
        a = round.sum("train")
        round.commit(hanse.add(round.model, a.delta, scale=float(a.groups["steps"])))

def feddyn(federation):
    alpha = federation.options["alpha"]
    for round in federation.rounds():
        h = round.state or hanse.zeros_like(round.model)
        a = round.sum("train")
        h = hanse.add(h, a.delta, scale=-alpha * len(a.sites) / len(round.population))
        model = hanse.add(round.apply(a), h, scale=-1 / alpha)
        round.commit(model, state=h)
"""
PLANS: dict[str, Any] = {
    "fedavg": {},
    "fedprox": {"local": "[{name: proximal, mu: 0.5}]"},
    "no pull": {"local": "[{name: proximal, mu: 0}]"},
    "scaffold": {
        "local": "[control_variates]",
        "receives": "[model, control]",
        "group": "control: mean",
        "top": "groups: {control: {like: model}}\nworkflow: workflows:scaffold",
    },
    "fednova": {
        "local": "[normalise]",
        "group": "steps: weighted_mean",
        "top": "groups: {steps: {float64: []}}\nworkflow: workflows:fednova",
    },
    "feddyn": {
        "local": "[{name: dynamic, alpha: 0.5}]",
        "top": "options: {alpha: 0.5}\nworkflow: workflows:feddyn",
    },
}


def run(folder: Path, algorithm: str, kind: str = "learner", text: str = SCRIPT) -> Outcome:
    """Simulate an algorithm with the learner or a script of this module."""
    plan = PLANS[algorithm]
    code = folder / "code"
    code.mkdir(parents=True)
    runs = "learner: least_squares:learner" if kind == "learner" else "script: train.py"
    names = {
        "problem.py": PROBLEM,
        "workflows.py": WORKFLOWS,
        **({"least_squares.py": LEARNER} if kind == "learner" else {"train.py": text}),
    }
    for name, content in names.items():
        (code / name).write_text(dedent(content), encoding="utf-8")
    groups = f", groups: {{{plan['group']}}}" if "group" in plan else ""
    lines = [
        "name: local-rules",
        f"code: [{', '.join(names)}]",
        runs,
        f"rounds: {ROUNDS}",
        "aggregation: {rule: mean}",
        plan.get("top", ""),
        "tasks:",
        "  train:",
        *(f"    {key}: {plan[key]}" for key in ("local", "receives") if key in plan),
        f"    discloses: {{update: aggregate, aggregated_by: aggregator{groups}}}",
    ]
    (code / "plan.yaml").write_text("\n".join(lines), encoding="utf-8")
    loaded = load_plan(code / "plan.yaml")
    sites = [VirtualSite(name, {}) for name in SITES]
    return simulate(loaded, sites, Settings(folder / "state", 1_000), lambda run, event: None)


def model(outcome: Outcome) -> Array:
    assert outcome.model is not None
    return outcome.model["w"]


def gradient(name: str, w: Array) -> Array:
    found: dict[str, Any] = {}
    exec(PROBLEM, found)
    result: Array = found["gradient"](name, w)
    return result


def descended(name: str, start: Array, shift: Array | float = 0.0, pull: float = 0.0) -> Array:
    """A site's steps along its gradient plus `shift` plus `pull` times the distance from the start."""
    w = start
    for _ in range(STEPS[name]):
        w = w - LR * (gradient(name, w) + shift + pull * (w - start))
    return w


def fedprox() -> Array:
    """Eq. 2 of arXiv 1812.06127 by gradient descent, mu = 0.5."""
    x = np.zeros(3)
    for _ in range(ROUNDS):
        x = np.mean([descended(k, x, pull=0.5) for k in SITES], axis=0)
    return x


def scaffold() -> Array:
    """Algorithm 1 of arXiv 1910.06378, option II, all sites in every round, eta_g = 1."""
    x, c, own = np.zeros(3), np.zeros(3), {name: np.zeros(3) for name in SITES}
    for _ in range(ROUNDS):
        ends, changes = [], []
        for i in SITES:
            y = descended(i, x, shift=c - own[i])
            after = own[i] - c + (x - y) / (STEPS[i] * LR)
            ends.append(y)
            changes.append(after - own[i])
            own[i] = after
        x, c = np.mean(ends, axis=0), c + np.mean(changes, axis=0)
    return x


def fednova() -> Array:
    """Normalised updates of arXiv 2007.07481 for plain SGD, times tau_eff (eq. 8)."""
    x = np.zeros(3)
    for _ in range(ROUNDS):
        normalised = [(descended(i, x) - x) / STEPS[i] for i in SITES]
        x = x + np.mean(list(STEPS.values())) * np.mean(normalised, axis=0)
    return x


def feddyn() -> Array:
    """Algorithm 1 of arXiv 2111.04263, the minima approached by gradient descent, alpha = 0.5."""
    x, h, linear = np.zeros(3), np.zeros(3), {name: np.zeros(3) for name in SITES}
    for _ in range(ROUNDS):
        ends = []
        for k in SITES:
            w = descended(k, x, shift=-linear[k], pull=0.5)
            linear[k] = linear[k] - 0.5 * (w - x)
            ends.append(w)
        h = h - 0.5 * np.mean([w - x for w in ends], axis=0)
        x = np.mean(ends, axis=0) - h / 0.5
    return x


@pytest.mark.parametrize("kind", ["learner", "script"])
@pytest.mark.parametrize("paper", [fedprox, scaffold, fednova, feddyn], ids=lambda paper: paper.__name__)
def test_a_simulated_algorithm_is_its_papers(tmp_path: Path, paper: Callable[[], Array], kind: str) -> None:
    found = model(run(tmp_path, paper.__name__, kind))

    np.testing.assert_allclose(found, paper(), rtol=0, atol=1e-12)


@pytest.mark.torch
def test_a_torch_script_with_one_more_line_runs_an_algorithm(tmp_path: Path) -> None:
    found = model(run(tmp_path, "scaffold", "script", TORCH_SCRIPT))

    np.testing.assert_allclose(found, scaffold(), rtol=0, atol=1e-12)


def test_no_pull_is_fedavg_to_the_bit(tmp_path: Path) -> None:
    plain = model(run(tmp_path / "plain", "fedavg"))

    assert model(run(tmp_path / "no pull", "no pull")).tobytes() == plain.tobytes()


def test_a_script_that_never_applies_the_rule_ends_the_run_by_its_name(tmp_path: Path) -> None:
    line = 'round.correct({"w": gradient(name, model["w"])}, model)'
    text = SCRIPT.replace(line, '{"w": np.ones(3)}')

    with pytest.raises(HanseError, match="never applied the plan's local rule proximal"):
        run(tmp_path, "fedprox", "script", text)
