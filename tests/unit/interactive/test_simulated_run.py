"""A run as `hanse.simulate` gives it back."""

from __future__ import annotations

import builtins
import gc
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.cli.main import run as command
from hanse.config.load import load_plan
from hanse.errors import ConfigError, PlanError, StorageError
from hanse.interactive.simulated_run import SimulatedRun

Learner = Callable[[hanse.Site], Any]


@pytest.fixture
def simulated(adder: Learner) -> SimulatedRun:
    return hanse.simulate(adder, {"a": 1, "b": 3}, rounds=2)


def test_the_history_is_a_data_frame_where_pandas_is_installed(simulated: SimulatedRun) -> None:
    pd = pytest.importorskip("pandas")

    assert isinstance(simulated.history, pd.DataFrame)
    assert simulated.history["round"].tolist() == [1, 2]
    assert simulated.history["ratio"].tolist() == [pytest.approx(2.5 * 2 / 3), pytest.approx(2.5 * 4 / 3)]


def test_the_history_is_a_mapping_of_columns_without_pandas(
    simulated: SimulatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("hanse.interactive.columns.find_spec", lambda name: None)

    history = simulated.history

    assert list(history) == ["round", "loss", "ratio"]
    assert history["loss"].tolist() == [2.5, 5.0]


def test_the_history_of_a_site_has_what_the_site_reported(simulated: SimulatedRun) -> None:
    assert list(simulated.history_of("b")["loss"]) == [3.0, 5.5]
    with pytest.raises(ConfigError, match=r"there is no site 'c' in this run. The sites: a, b\."):
        simulated.history_of("c")


def test_the_model_is_the_callers_own(simulated: SimulatedRun) -> None:
    assert simulated.model is not None
    digest = simulated.digest

    simulated.model["w"] += 1

    assert simulated.digest == digest
    assert (simulated.best, dict(simulated.results)) == (None, {})


def test_it_shows_itself_in_one_line(simulated: SimulatedRun) -> None:
    assert repr(simulated) == "<simulated run lambda: 2 rounds, 2 sites; loss 5.000, ratio 3.333>"
    assert "<div>simulated run lambda: 2 rounds" in simulated._repr_html_()


def test_baselines_are_those_of_the_command(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}
    data = f"step={plan.parent}/{{site}}.txt"
    options = ["--site", "1", "--site", "2", "--data", data, "--baselines", "--json"]
    assert command(["simulate", str(plan), *options]) == 0
    expected = json.loads(capsys.readouterr().out)["baselines"]

    found = hanse.simulate(plan, sites).baselines()

    assert dict(found.examples) == expected["examples"]
    assert {model: dict(scores) for model, scores in found.scores.items()} == {
        model: told["sites"] for model, told in expected["models"].items()
    }


def test_baselines_of_functions_train_each_site_alone(simulated: SimulatedRun) -> None:
    found = simulated.baselines()

    assert found.table("ratio")["a alone"] == {
        "a": 2.0,
        "b": pytest.approx(2 / 3),
        "all": pytest.approx(4 / 3),
    }
    assert simulated.baselines() is found


def test_baselines_of_many_sites_are_refused(adder: Learner) -> None:
    run = hanse.simulate(adder, {f"site-{number}": 1 for number in range(21)}, rounds=1)

    with pytest.raises(ConfigError, match=r"there are 21\. Simulate at most 20"):
        run.baselines()


def test_the_plan_of_a_run_is_saved_beside_its_code(plan: Path) -> None:
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}
    run = hanse.simulate(plan, sites, rounds=7)

    run.save_plan(plan.with_name("seven.yaml"))

    assert load_plan(plan.with_name("seven.yaml")).digest == run.summary()["plan"]["digest"]
    with pytest.raises(StorageError, match=r"cannot write .*seven\.yaml"):
        run.save_plan(plan.with_name("seven.yaml"))


def test_a_plan_of_functions_is_not_saved(simulated: SimulatedRun, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"functions of this session .* Write them to a file"):
        simulated.save_plan(tmp_path / "plan.yaml")


def test_what_sites_kept_is_removed_with_the_run(simulated: SimulatedRun) -> None:
    folder = simulated._ran.settings.state_dir.parent
    assert folder.is_dir()

    simulated._remove()
    gc.collect()

    assert not folder.exists()


def test_a_picture_is_drawn_and_written(simulated: SimulatedRun, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    figure = simulated.plot("curves", file=tmp_path / "run.svg")

    assert [axis.get_title() for axis in figure.axes] == ["loss", "ratio"]
    assert (tmp_path / "run.svg").read_text("utf-8").startswith("<?xml")


def test_a_picture_is_written_to_a_path_only(simulated: SimulatedRun) -> None:
    with pytest.raises(ConfigError, match="file: a value of the type bytes is not a path"):
        simulated.plot(file=b"run.svg")  # type: ignore[arg-type]


def test_a_picture_without_matplotlib_names_the_extra(
    simulated: SimulatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ConfigError, match=r"need matplotlib.*pip install 'hanse\[plot\]'"):
        simulated.plot()


def test_metrics_that_a_round_lacks_are_nan(adder: Learner) -> None:
    def sparing(federation: hanse.Federation) -> None:
        for round in federation.rounds():
            metrics = {"odd": 1.0} if round.number % 2 else {}
            round.commit(round.model, metrics=metrics)

    run = hanse.simulate(sparing, {"a": 1}, learner=adder, rounds=2)

    np.testing.assert_array_equal(run.history["odd"], [1.0, np.nan])
