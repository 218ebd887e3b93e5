"""Local rules in a script: one line between the gradients and the step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.script import ScriptSession
from hanse.local import ControlVariates, Normalise, Proximal
from hanse.local.applied import with_rules
from hanse.local.base import LocalRule

Open = Callable[..., ScriptSession]

TORCH = """
import torch, hanse

inputs = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2)
targets = inputs.sum(dim=1, keepdim=True) + 1
model = torch.nn.Linear(2, 1).double()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=MOMENTUM)
for round in hanse.rounds(model):
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        round.correct()
        optimizer.step()
    round.report(examples=6)
"""
NUMPY = """
import numpy as np, hanse

inputs = np.linspace(-1, 1, 12).reshape(6, 2)
targets = inputs.sum(axis=1, keepdims=True) + 1
model = {"weight": np.zeros((1, 2)), "bias": np.zeros(1)}
for round in hanse.rounds(model):
    for _ in range(3):
        residual = 2 / 6 * (inputs @ model["weight"].T + model["bias"] - targets)
        gradients = {"weight": residual.T @ inputs, "bias": residual.sum(axis=0)}
        gradients = round.correct(gradients, model)
        for name in model:
            model[name] -= 0.1 * gradients[name]
    round.report(examples=6)
"""
FRAMEWORKS = pytest.mark.parametrize(
    "text", [pytest.param(TORCH, marks=pytest.mark.torch), NUMPY], ids=["torch", "numpy"]
)
MODEL = {"weight": np.array([[0.3, -0.2]]), "bias": np.array([0.1])}
CONTROL = {"control": {"weight": np.array([[0.5, 0.25]]), "bias": np.array([-1.0])}}


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Open]:
    """Opens a session on a script's text; all end with the test."""
    opened = []

    def open_one(text: str, site: str = "north", momentum: float = 0.0) -> ScriptSession:
        path = tmp_path / f"{site}.py"
        path.write_text(dedent(text).replace("MOMENTUM", str(momentum)), encoding="utf-8")
        opened.append(ScriptSession(path, Site(site, DataSources(site, {})), tmp_path / "state" / site))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def train(number: int, *rules: LocalRule, groups: Any = CONTROL) -> Task:
    return with_rules(Task("train", number, number, {}, groups), rules)


def numbers(result: TaskResult) -> np.ndarray[Any, Any]:
    assert result.parameters is not None
    return np.concatenate([np.ravel(result.parameters[name]) for name in ("weight", "bias")])


def gradient(model: Parameters) -> dict[str, Any]:
    inputs = np.linspace(-1, 1, 12).reshape(6, 2)
    residual = 2 / 6 * (inputs @ model["weight"].T + model["bias"] - inputs.sum(axis=1, keepdims=True) - 1)
    return {"weight": residual.T @ inputs, "bias": residual.sum(axis=0)}


@FRAMEWORKS
def test_a_script_trains_with_fedprox(open_session: Open, text: str) -> None:
    result = open_session(text).perform(train(1, Proximal(0.5)), MODEL, sequence=1)

    model = dict(MODEL)
    for _ in range(3):
        found = gradient(model)
        model = {
            name: model[name] - 0.1 * (found[name] + 0.5 * (model[name] - MODEL[name])) for name in model
        }
    np.testing.assert_allclose(numbers(result), numbers(TaskResult(1, {}, model)), rtol=0, atol=1e-12)


@FRAMEWORKS
def test_a_script_trains_with_scaffold_and_keeps_its_variate(open_session: Open, text: str) -> None:
    session = open_session(text)
    own = {name: np.zeros_like(array) for name, array in MODEL.items()}

    for number in (1, 2):
        result = session.perform(train(number, ControlVariates()), MODEL, sequence=number)
        model, raw = dict(MODEL), []
        for _ in range(3):
            raw.append(gradient(model))
            model = {
                name: model[name] - 0.1 * (raw[-1][name] - own[name] + CONTROL["control"][name])
                for name in model
            }
        after = {name: np.mean([step[name] for step in raw], axis=0) for name in model}

        np.testing.assert_allclose(numbers(result), numbers(TaskResult(1, {}, model)), rtol=0, atol=1e-12)
        for name in model:
            change = result.groups["control"][name]
            np.testing.assert_allclose(change, after[name] - own[name], rtol=0, atol=1e-12)
        own = after


@pytest.mark.torch
def test_no_pull_is_fedavg_to_the_bit(open_session: Open) -> None:
    plain = open_session(TORCH, "a", 0.9).perform(train(1), MODEL, sequence=1)
    proximal = open_session(TORCH, "b", 0.9).perform(train(1, Proximal(0.0)), MODEL, sequence=1)

    assert numbers(plain).tobytes() == numbers(proximal).tobytes()


def test_a_variate_survives_a_restart_to_the_bit(open_session: Open) -> None:
    def three_rounds(session_of: Callable[[], ScriptSession]) -> list[bytes]:
        tasks = [train(number, ControlVariates()) for number in (1, 2, 3)]
        return [
            numbers(session_of().perform(task, MODEL, sequence=task.round_number)).tobytes() for task in tasks
        ]

    undisturbed = open_session(NUMPY, "a")
    expected = three_rounds(lambda: undisturbed)

    assert three_rounds(lambda: open_session(NUMPY, "b")) == expected
    assert expected[0] != expected[1]


def test_steps_are_counted_for_fednova(open_session: Open) -> None:
    result = open_session(NUMPY).perform(train(1, Normalise()), MODEL, sequence=1)

    assert result.groups["steps"] == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pass", "train never applied the plan's local rule proximal"),
        ("round.correct()", r"found no gradient in the model that hanse.rounds\(\) was given"),
        ("round.correct(gradients, {})", "a gradient of 'weight' without the parameter's value"),
        ("round.correct({'w': gradients['weight']}, model)", "the gradients of 'w': not one is of a tensor"),
    ],
)
def test_a_script_that_does_not_correct_its_gradients_fails(
    open_session: Open, line: str, message: str
) -> None:
    text = NUMPY.replace("gradients = round.correct(gradients, model)", line)

    with pytest.raises(TaskError, match=message):
        open_session(text).perform(train(1, Proximal(0.1)), MODEL, sequence=1)


def test_without_rules_the_line_changes_nothing(open_session: Open) -> None:
    text = NUMPY.replace("gradients = round.correct", "assert gradients is round.correct")

    open_session(text).perform(train(1), MODEL, sequence=1)


@pytest.mark.torch
def test_a_script_alone_trains_as_it_would_without_the_line(tmp_path: Path) -> None:
    with_line = (
        "torch.manual_seed(1)\n"
        + TORCH.replace("MOMENTUM", "0.9")
        + "print(model.weight.tolist(), model.bias.tolist())\n"
    )
    path = tmp_path / "train.py"
    path.write_text(f"import torch\n{with_line}{with_line.replace('round.correct()', 'pass')}", "utf-8")

    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)

    corrected, plain = (line for line in done.stdout.splitlines() if line.startswith("[["))
    assert corrected == plain
