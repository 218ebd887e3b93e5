"""A script that evaluates the federation's model: `hanse.rounds(model, evaluate=test)`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.errors import TaskError
from hanse.learners.script import ScriptSession

Open = Callable[[str], ScriptSession]

THREE_LINES = """
import numpy as np
import hanse

model = {"w": np.zeros(1)}
steps = {"n": np.zeros(1)}

def test(model):
    return {"examples": 4, "accuracy": float(model["w"][0])}

for round in hanse.rounds(model, evaluate=test, keep={"steps": steps}):
    model["w"] += 1
    steps["n"] += 1
    round.report(examples=2, steps=float(steps["n"][0]))
"""


@pytest.fixture
def open_session(write: Callable[[str, str], Path], tmp_path: Path) -> Iterator[Open]:
    opened = []

    def open_one(text: str) -> ScriptSession:
        site = Site("north", DataSources("north", {}), seed=5)
        opened.append(ScriptSession(write("train.py", text), site, tmp_path / "state"))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def evaluate(round_number: int = 1) -> Task:
    return Task("evaluate", round_number, seed=3)


def test_the_averaged_model_is_measured_and_not_changed(open_session: Open) -> None:
    result = open_session(THREE_LINES).perform(evaluate(), {"w": np.array([0.5])}, sequence=1)

    assert (result.num_examples, result.metrics, result.parameters) == (4, {"accuracy": 0.5}, None)


def test_training_goes_on_from_what_was_kept_whatever_is_evaluated_between(open_session: Open) -> None:
    session = open_session(THREE_LINES)
    steps = []
    for number in (1, 2, 3):
        trained = session.perform(Task("train", number, 0), {"w": np.zeros(1)}, sequence=2 * number)
        session.perform(evaluate(number), {"w": np.ones(1)}, sequence=2 * number + 1)
        steps.append(trained.metrics["steps"])

    assert steps == [1.0, 2.0, 3.0]


def test_what_was_kept_survives_a_restart_that_begins_with_an_evaluation(open_session: Open) -> None:
    open_session(THREE_LINES).perform(Task("train", 1, 0), {"w": np.zeros(1)}, sequence=1)
    restarted = open_session(THREE_LINES)

    restarted.perform(evaluate(), {"w": np.ones(1)}, sequence=2)

    trained = restarted.perform(Task("train", 2, 0), {"w": np.zeros(1)}, sequence=3)
    assert trained.metrics == {"steps": 2.0}


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("0.5", r"train\.py:\d+: the function given to hanse\.rounds\(\) as `evaluate` gave back a float"),
        ('{"accuracy": 1}', r"gave back no `examples`\. Return the number of examples with the metrics"),
        ('{"examples": 1, "x": "low"}', r"the evaluation of round 1: metric 'x' must be a number"),
        ("1 / 0", r"the evaluation of round 1 of train\.py failed at train\.py:\d+: ZeroDivisionError"),
    ],
)
def test_an_evaluation_that_goes_wrong_is_told_with_its_line(
    open_session: Open, returned: str, why: str
) -> None:
    text = THREE_LINES.replace('{"examples": 4, "accuracy": float(model["w"][0])}', returned)

    with pytest.raises(TaskError, match=why):
        open_session(text).perform(evaluate(), {"w": np.zeros(1)}, sequence=1)


def test_a_script_alone_evaluates_too(write: Callable[[str, str], Path]) -> None:
    script = write("train.py", THREE_LINES)

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == (
        "hanse: no federation, so one round alone: examples 2, steps 1; evaluated: examples 4, accuracy 1\n"
    )


@pytest.mark.torch
def test_a_module_is_measured_in_evaluation_mode_and_trained_in_its_own(open_session: Open) -> None:
    text = """
        import torch, hanse
        model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout())
        model[1].eval()  # on purpose
        modes = []
        def test(model):
            modes.append([part.training for part in model.modules()])
            return {"examples": 1}
        for round in hanse.rounds(model, evaluate=test):
            trains = [part.training for part in model.modules()]
            assert modes == [[False] * 3] and trains == [True, True, False], (modes, trains)
            round.report(examples=1)
    """
    session = open_session(text)
    model = session.initial_parameters()
    session.perform(evaluate(), model, sequence=1)

    assert session.perform(Task("train", 2, 0), model, sequence=2).num_examples == 1
