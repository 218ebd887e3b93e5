"""`hanse simulate` of sites whose labels or columns are not the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.commands import Ended, Hanse

from hanse.config.load import load_plan
from hanse.learners.agreement import TENSOR
from hanse.wire.tensors import open_file, write_file

pytestmark = pytest.mark.sklearn

PLAN = """
name: agreeing
code: [federation.py]
learner: federation:learner
rounds: 2
cohort: {minimum: 3}
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss, accuracy, r2]}}
"""
CODE = """
import numpy as np
from sklearn.linear_model import LinearRegression, SGDClassifier
from hanse.learners.sklearn import SklearnLearner

X = np.random.default_rng(0).normal(size=(60, 2)) * [1, 10]
Y = (X[:, 0] > 0).astype(int)

class Frame:
    "A data frame, as far as anybody here looks at it."

    def __init__(self, columns, names):
        self.columns = names
        self._columns = columns

    def __array__(self, dtype=None, copy=None):
        return np.stack([self._columns[name.lower()] for name in self.columns], axis=1).astype(dtype)

def frame(names):
    return Frame({"age": X[:, 0], "sex": X[:, 1]}, names)

def learner(site):
    first = site.name == "a"
    MADE
"""
LABELS = """y = np.array({first} if first else {second})[Y]
    return SklearnLearner(SGDClassifier(), (X, y), (X, y))
"""
COLUMNS = """x = frame(['age', 'sex'] if first else {second})
    return SklearnLearner(LinearRegression(), (x, X[:, 0]), (x, X[:, 0]))
"""


@pytest.fixture
def simulate(tmp_path: Path, hanse: Hanse) -> Any:
    def simulate(made: str, *options: Any, plan: str = "", sites: str = "abc") -> Ended:
        (tmp_path / "federation.py").write_text(CODE.replace("MADE", made), encoding="utf-8")
        (tmp_path / "plan.yaml").write_text(PLAN + plan, encoding="utf-8")
        names = [option for name in sites for option in ("--site", name)]
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return hanse("simulate", tmp_path / "plan.yaml", *names, "--output", tmp_path / "out", *options)

    return simulate


@pytest.mark.parametrize("second", ["[0, 2]", "['healthy', 'sick']", "['0', '1']"])
def test_sites_whose_labels_differ_are_refused(simulate: Any, second: str) -> None:
    ended = simulate(LABELS.format(first="[0, 1]", second=second))

    assert ended.code == 5
    assert "the labels of the data at b are not those that the first model was made for" in ended.err
    assert "at b: labels here: " in ended.err
    assert all(label in ended.err for label in second.strip("[]").split(", "))


def test_labels_that_files_write_in_several_ways_are_the_same(simulate: Any) -> None:
    ended = simulate(LABELS.format(first="[0, 1]", second="[0.0, 1.0]"))

    assert (ended.code, ended.err) == (0, "")


def test_classes_made_from_the_data_are_compared_too(simulate: Any) -> None:
    made = (
        "y = Y * (1 if first else 2)\n"
        "    return SklearnLearner(SGDClassifier(), (X, y), (X, y), classes=np.unique(y))"
    )

    ended = simulate(made)

    assert ended.code == 5
    assert "at b: labels here: 0 and 2" in ended.err


@pytest.mark.parametrize("second", ["['sex', 'age']", "['Age', 'sex']"])
def test_columns_in_another_order_or_of_other_names_are_refused(simulate: Any, second: str) -> None:
    ended = simulate(COLUMNS.format(second=second))

    assert ended.code == 5
    assert "the features of the data at b are not those that the first model was made for" in ended.err
    assert f"at b: features here: {second.strip('[]').replace(', ', ' and ')}" in ended.err


def test_the_model_carries_what_the_plan_does_not_state(simulate: Any, tmp_path: Path) -> None:
    simulate(COLUMNS.format(second="['age', 'sex']"))
    assert TENSOR in open_file(tmp_path / "out" / "model.safetensors")

    assert simulate(COLUMNS.format(second="['age', 'sex']"), plan="features: [age, sex]\n").code == 0
    assert TENSOR not in open_file(tmp_path / "out" / "model.safetensors")


def test_a_difference_from_what_the_plan_states_is_refused_with_both_named(simulate: Any) -> None:
    ended = simulate(LABELS.format(first="[0, 1]", second="[0, 2]"), plan="labels: [0, 1]\n")

    assert ended.code == 5
    assert "the labels of the data at b are not those that the plan states" in ended.err
    assert "at b: labels that the plan states: 0 and 1. labels here: 0 and 2" in ended.err


def test_a_saved_plan_states_labels_and_columns_and_is_the_plan_that_ran(
    simulate: Any, tmp_path: Path
) -> None:
    made = (
        "x = frame(['age', 'sex'])\n    y = np.array(['well', 'ill'])[Y]\n"
        "    return SklearnLearner(SGDClassifier(), (x, y), (x, y), classes=site.labels)"
    )

    ended = simulate(made, "--save-plan", tmp_path / "saved.yaml", "--json")

    saved = load_plan(tmp_path / "saved.yaml")
    assert ended.code == 0
    assert saved.digest in ended.out
    assert saved.manifest.plan.labels == ("ill", "well")
    assert saved.manifest.plan.features == ("age", "sex")


def test_a_saved_plan_holds_sites_with_other_labels_to_it(simulate: Any, tmp_path: Path) -> None:
    made = LABELS.format(first="[0, 1]", second="[0, 2]")

    ended = simulate(made, "--save-plan", tmp_path / "saved.yaml")

    assert ended.code == 5
    assert load_plan(tmp_path / "saved.yaml").manifest.plan.labels == (0, 1)
    assert "at b: labels that the plan states: 0 and 1. labels here: 0 and 2" in ended.err


def test_an_initial_model_of_a_run_carries_them_and_any_other_is_said_not_to(
    simulate: Any, tmp_path: Path
) -> None:
    made = COLUMNS.format(second="['age', 'sex']")
    simulate(made)
    model = open_file(tmp_path / "out" / "model.safetensors")
    write_file(tmp_path / "start.safetensors", {name: np.array(array) for name, array in model.items()})
    start = "initial_model: start.safetensors\n"

    assert simulate(made, plan=start).err == ""
    assert simulate(COLUMNS.format(second="['sex', 'age']"), plan=start).code == 5

    bare = {name: np.array(array) for name, array in model.items() if name != TENSOR}
    write_file(tmp_path / "start.safetensors", bare)
    ended = simulate(made, plan=start)
    assert ended.code == 0
    assert "at a: neither the plan nor the model says which features it is for" in ended.err
    assert ended.err.count("at a:") == 1


@pytest.mark.parametrize(
    "plan",
    [
        "aggregation: {rule: median}\n",
        "aggregation: {server_optimizer: {name: adam, lr: 0.1}}\n",
        "compression: {upload: [rotate, int4], smallest: 1}\n",
        "compression: {upload: [drive], smallest: 1}\n",
    ],
)
def test_what_the_model_carries_outlasts_whatever_a_plan_does_with_updates(simulate: Any, plan: str) -> None:
    ended = simulate(COLUMNS.format(second="['age', 'sex']"), "--rounds", 4, plan=plan)

    assert (ended.code, ended.err) == (0, "")
