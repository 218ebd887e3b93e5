"""`hanse.simulate`: the same runs as those of the command, from what a session of Python has."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hanse
from hanse.cli.main import run as command
from hanse.config.load import load_plan
from hanse.core.plan.plan import Plan
from hanse.errors import ConfigError, MissingDataError, PlanError, WorkflowError

Learner = Callable[[hanse.Site], Any]

SCRIPT = """
import numpy as np
import hanse

step = float(hanse.site().data["step"].read_text())
model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model):
    model["w"] += step
    round.report(examples=1, loss=float(model["w"][0]))
"""


def files(plan: Path) -> dict[str, dict[str, Path]]:
    """Two sites with the data of the plan."""
    return {f"site-{name}": {"step": plan.parent / f"{name}.txt"} for name in "12"}


def of_command(plan: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    data = f"step={plan.parent}/{{site}}.txt"
    arguments = ["simulate", str(plan), "--site", "1", "--site", "2", "--data", data, "--json", *options]
    capsys.readouterr()
    assert command(arguments) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def no_trace(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing stays behind in the folder for temporary files, nor among the modules."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    modules, path = set(sys.modules), list(sys.path)
    yield
    assert list(folder.iterdir()) == []
    assert not {name for name in set(sys.modules) - modules if name in ("adding", "session")}
    assert set(sys.path) <= set(path)


# ----------------------------------------------------------------- the same run


def test_a_plan_gives_the_model_that_the_command_gives(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}

    run = hanse.simulate(plan, sites, rounds=3, seed=9)

    expected = of_command(plan, "--rounds", "3", "--seed", "9", capsys=capsys)
    assert run.digest == expected["model"]
    assert run.summary() == expected


def test_a_learner_function_gives_the_model_that_the_command_gives(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = ModuleType("cell")
    exec((plan.parent / "adding.py").read_text(), code.__dict__)
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "21"}  # site order is not that of a dict

    run = hanse.simulate(code.learner, sites, rounds=2, seed=3, tasks={"train": {"lr": 0.5}})

    assert run.digest == of_command(plan, capsys=capsys)["model"]


def test_a_script_gives_the_model_that_the_command_gives(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = plan.with_name("train.py")
    script.write_text(SCRIPT, "utf-8")
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}

    run = hanse.simulate(script, sites, rounds=2)

    assert run.digest == of_command(script, "--rounds", "2", capsys=capsys)["model"]


def test_a_plan_that_was_read_is_run_as_its_file(plan: Path) -> None:
    loaded, sites = load_plan(plan), files(plan)

    assert hanse.simulate(loaded, sites).digest == hanse.simulate(plan, sites).digest


def test_a_plan_without_its_files_finds_them_in_the_current_folder(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plan.parent)
    of_file: Plan = load_plan(plan).manifest.plan

    run = hanse.simulate(of_file, files(plan), rounds=1)

    assert run.plan.rounds == 1


def test_a_run_leaves_the_session_as_it_was(plan: Path, no_trace: None, adder: Learner) -> None:
    hanse.simulate(plan, files(plan))
    hanse.simulate(adder, {"a": 1, "b": 2})
    gc.collect()


def test_a_run_leaves_the_random_generators_of_the_session_as_they_were(adder: Learner) -> None:
    np.random.seed(5)

    hanse.simulate(adder, {"a": 1}, rounds=1).baselines()

    assert np.random.random() == np.random.RandomState(5).random()


def test_modules_of_the_session_do_not_get_in_the_way_of_the_plans(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ModuleType("adding")
    mine.__file__ = str(plan.parent / "elsewhere" / "adding.py")
    monkeypatch.setitem(sys.modules, "adding", mine)

    assert hanse.simulate(plan, files(plan)).digest is not None
    assert sys.modules["adding"] is mine


def test_it_runs_inside_of_a_running_event_loop(adder: Learner) -> None:
    async def cell() -> str | None:
        return hanse.simulate(adder, {"a": 1, "b": 2}, rounds=1).digest

    assert asyncio.run(cell()) == hanse.simulate(adder, {"a": 1, "b": 2}, rounds=1).digest


def test_nothing_is_printed_in_a_pipe(adder: Learner, capsys: pytest.CaptureFixture[str]) -> None:
    hanse.simulate(adder, {"a": 1, "b": 2}, rounds=1)

    assert capsys.readouterr() == ("", "")


# -------------------------------------------------------------------- functions


def test_objects_are_found_in_the_data_of_a_site(adder: Learner) -> None:
    run = hanse.simulate(adder, {"a": 1, "b": 3}, rounds=2)

    assert run.model is not None
    assert run.model["w"].tolist() == [5.0, 5.0]  # twice (1 * 1 + 3 * 3) / 4


def test_a_function_discloses_the_sum_of_updates_and_what_it_reports(adder: Learner) -> None:
    tasks = hanse.simulate(adder, {"a": 1, "b": 2}, rounds=1).plan.tasks

    assert (tasks["train"].discloses.update, tasks["train"].discloses.metrics) == ("aggregate", ("loss",))
    assert (tasks["evaluate"].discloses.update, tasks["evaluate"].discloses.metrics) == ("none", ("ratio",))


def test_what_the_keywords_say_is_disclosed_holds(adder: Learner) -> None:
    strict = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": []}

    with pytest.raises(hanse.HanseError, match="loss"):
        hanse.simulate(adder, {"a": 1, "b": 2}, tasks={"train": {"discloses": strict}})


def test_the_best_model_is_kept_by_a_metric_that_the_learner_reports(adder: Learner) -> None:
    run = hanse.simulate(adder, {"a": 1, "b": 2}, rounds=3, keep_best={"metric": "ratio", "mode": "min"})

    assert run.best is not None
    assert run.model is not None
    assert run.best["w"][0] < run.model["w"][0]


def test_a_workflow_function_runs_with_a_learner(adder: Learner) -> None:
    seen = []

    def twice(federation: hanse.Federation) -> None:
        for round in federation.rounds():
            round.commit(hanse.add(round.model, {"w": np.full(2, 2, np.float32)}))
            seen.append(round.number)

    run = hanse.simulate(twice, {"a": 1, "b": 2}, learner=adder, rounds=2)

    assert (run.plan.name, seen) == ("twice", [1, 2])
    assert run.model is not None
    assert run.model["w"].tolist() == [4.0, 4.0]
    by_keyword = hanse.simulate(adder, {"a": 1, "b": 2}, workflow=twice, rounds=2)
    assert by_keyword.digest == run.digest


def test_a_workflow_without_a_model_gives_results(tmp_path: Path) -> None:
    class Counting:
        def __init__(self, site: hanse.Site) -> None:
            self.values = np.array(site.data["values"])

        def count(self, _: Any, task: hanse.Task) -> hanse.TaskResult:
            return hanse.TaskResult(len(self.values), groups={"n": np.array(len(self.values))})

    def total(federation: hanse.Federation) -> None:
        for round in federation.rounds():
            round.commit(results={"n": round.sum("count").groups["n"]})

    run = hanse.simulate(
        total,
        {"a": {"values": [1, 2]}, "b": {"values": [3]}},
        learner=Counting,
        initial_model="none",
        rounds=1,
        output=tmp_path,
        groups={"n": {"int64": []}},
        tasks={
            "count": {"receives": [], "discloses": {"aggregated_by": "aggregator", "groups": {"n": "total"}}}
        },
    )

    assert {name: int(value) for name, value in run.results.items()} == {"n": 3}
    assert np.load(tmp_path / "results" / "n.npz")["n"] == 3
    assert (run.model, run.digest) == (None, None)
    assert repr(run) == "<simulated run total: 1 round, 2 sites; results n>"


def test_sites_that_are_counted_share_one_data_set() -> None:
    shares = {}

    class Sharing:
        def __init__(self, site: hanse.Site) -> None:
            self.mine = shares[site.name] = site.share([0] * 9)

        def parameters(self) -> dict[str, Any]:
            return {"w": np.zeros(1, np.float32)}

        def train(self, parameters: Any, task: Any) -> hanse.TaskResult:
            return hanse.TaskResult(len(self.mine), {}, {"w": parameters["w"] + 1})

        def evaluate(self, parameters: Any, task: Any) -> hanse.TaskResult:
            return hanse.TaskResult(1)

    hanse.simulate(Sharing, 3, rounds=1)

    assert sorted(np.concatenate(list(shares.values()))) == list(range(9))


def test_a_first_model_is_read_from_a_file(adder: Learner, tmp_path: Path) -> None:
    first = hanse.simulate(adder, {"a": 1, "b": 1}, rounds=1, output=tmp_path / "first")
    assert first.model is not None

    run = hanse.simulate(
        adder, {"a": 1, "b": 1}, rounds=1, initial_model=tmp_path / "first" / "model.safetensors"
    )

    assert run.model is not None
    assert run.model["w"].tolist() == [2.0, 2.0]


def test_linear_algebra_has_as_many_threads_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()

    class Looking:
        def __init__(self, site: hanse.Site) -> None: ...

        def parameters(self) -> dict[str, Any]:
            return {"w": np.zeros(1)}

        def train(self, parameters: Any, task: Any) -> hanse.TaskResult:
            found.add(os.environ["OMP_NUM_THREADS"])
            return hanse.TaskResult(1, {}, {"w": parameters["w"] + 1})

        def evaluate(self, parameters: Any, task: Any) -> hanse.TaskResult:
            return hanse.TaskResult(1)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    hanse.simulate(Looking, {"a": None}, rounds=1)
    hanse.simulate(Looking, {"a": None}, rounds=1, threads=2)

    assert found == {"1", "2"}
    assert "OMP_NUM_THREADS" not in os.environ


# ----------------------------------------------------------------- refused in words


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rouns": 3}, r"hanse\.simulate: rouns: unknown key; did you mean `rounds`\?"),
        ({"rounds": "3"}, r"rounds: should be a whole number"),
        ({"options": {"f": print}}, r"options\.f: a plan cannot hold a value of the type builtin_function"),
        ({"code": ["a.py"]}, r"`code` is for a plan or a script"),
        ({"initial_model": "nowhere.safetensors"}, r"there is no file .*nowhere\.safetensors"),
        ({"workflow": "mine:flow"}, r"neither a function nor one of fedavg, evaluate"),
        ({"workflow": []}, r"workflow: \[\] is neither a function nor"),
        ({"workflow": np.zeros(2)}, r"workflow: array.* is neither a function nor"),
        ({"data": 0}, r"data: should be a list of the names of data sources, is 0"),
        ({"data": "table"}, r"data: should be a list of the names of data sources, is 'table'"),
    ],
)
def test_a_keyword_that_no_plan_can_have_is_refused(
    adder: Learner, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        hanse.simulate(adder, {"a": 1, "b": 2}, **keys)


def test_a_key_that_a_plan_file_cannot_have_is_refused_with_a_key_that_it_can(plan: Path) -> None:
    with pytest.raises(PlanError, match="sed: unknown key; did you mean `seed`"):
        hanse.simulate(plan, files(plan), sed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": 0}, "threads=0 is not a number of threads"),
        ({"threads": True}, "threads=True is not a number of threads"),
        ({"engine": "ray"}, "there is no engine 'ray' in this version"),
        ({"learner": print, "workflow": print}, "there are two workflows"),
        ({"learner": 3}, "learner= is a int"),
        ({"engine": []}, r"there is no engine \[\] in this version"),
        ({"partition": "by-hand"}, "by-hand"),
        ({"partition": 3}, "a value of the type int is not a partition"),
        ({"output": 3}, "output: a value of the type int is not a path"),
        ({"output": "a\0b"}, "output: .* has a NUL character"),
        ({"initial_model": "~no-such-user/a.safetensors"}, "initial_model: there is no home folder"),
    ],
)
def test_an_argument_that_is_not_what_it_should_be_is_refused(
    adder: Learner, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        hanse.simulate(adder, {"a": 1, "b": 2}, **arguments)


def test_something_else_than_a_function_or_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the first argument is a dict\. Give a function"):
        hanse.simulate({}, {"a": 1})


def test_a_learner_beside_a_plan_is_refused(plan: Path, adder: Learner) -> None:
    with pytest.raises(ConfigError, match=r"plan\.yaml names its own"):
        hanse.simulate(plan, files(plan), learner=adder)


def test_a_workflow_without_a_learner_is_refused() -> None:
    def mine(federation: hanse.Federation) -> None: ...

    with pytest.raises(ConfigError, match=r"`mine` is a workflow function, .*mine, sites, learner="):
        hanse.simulate(mine, {"a": 1})


def test_objects_for_a_script_are_refused(plan: Path) -> None:
    script = plan.with_name("train.py")
    script.write_text(SCRIPT, "utf-8")

    with pytest.raises(ConfigError, match=r"train\.py is a script, which .* finds files only"):
        hanse.simulate(script, {"a": {"step": 1}}, data=["step"])


# ---------------------------------------------------------------------- failures


def test_an_error_of_the_learner_names_its_line_and_has_the_traceback_as_a_note(no_trace: None) -> None:
    class Failing:
        def __init__(self, site: hanse.Site) -> None: ...

        def parameters(self) -> dict[str, Any]:
            return {"w": np.zeros(1, np.float32)}

        def train(self, parameters: Any, task: Any) -> hanse.TaskResult:
            raise ZeroDivisionError("no patients")

        def evaluate(self, parameters: Any, task: Any) -> hanse.TaskResult: ...

    with pytest.raises(hanse.HanseError, match=r"test_simulate\.py:\d+: ZeroDivisionError: no patients") as e:
        hanse.simulate(Failing, {"a": 1})

    assert "in train" in "".join(e.value.__notes__)


def test_a_learner_that_cannot_be_made_names_its_line(no_trace: None) -> None:
    def learner(site: hanse.Site) -> None:
        raise ZeroDivisionError("no table")

    with pytest.raises(
        hanse.HanseError,
        match=r"a first model; at a: .*failed at test_simulate\.py:\d+: ZeroDivisionError: no table",
    ):
        hanse.simulate(learner, {"a": 1})


def test_an_error_of_the_workflow_names_its_line(adder: Learner, no_trace: None) -> None:
    def wrong(federation: hanse.Federation) -> None:
        raise LookupError("nothing")

    with pytest.raises(WorkflowError, match=r"test_simulate\.py:\d+: LookupError: nothing"):
        hanse.simulate(wrong, {"a": 1}, learner=adder)


def test_data_that_a_learner_does_not_find_says_how_to_add_it(adder: Learner) -> None:
    with pytest.raises(
        MissingDataError, match=r"no data source named 'data'; it has: step. Add it to the data"
    ):
        hanse.simulate(adder, {"a": {"step": 1}})


def test_ctrl_c_leaves_the_rounds_before_and_nothing_else(
    tmp_path: Path, adder: Learner, no_trace: None
) -> None:
    def interrupted(federation: hanse.Federation) -> None:
        for round in federation.rounds():
            if round.number == 3:
                raise KeyboardInterrupt
            round.commit(round.apply(round.sum("train")))

    with pytest.raises(KeyboardInterrupt):
        hanse.simulate(interrupted, {"a": 1}, learner=adder, rounds=5, output=tmp_path)

    written = json.loads((tmp_path / "metrics.json").read_text())
    assert (written["phase"], len(written["rounds"])) == ("stopped", 2)
    assert hanse.load(tmp_path)["w"].tolist() == [2.0, 2.0]


def test_results_are_written_as_the_command_writes_them(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = {name: {"step": plan.parent / f"{name}.txt"} for name in "12"}

    run = hanse.simulate(plan, sites, output=tmp_path / "mine")
    of_command(plan, "--output", str(tmp_path / "commands"), capsys=capsys)

    for name in ("model.safetensors", "metrics.json"):
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "commands" / name).read_bytes()
    assert run.model is not None
    np.testing.assert_array_equal(hanse.load(tmp_path / "mine")["w"], run.model["w"])


def test_a_data_source_that_is_no_file_is_refused(adder: Learner) -> None:
    with pytest.raises(MissingDataError, match=r"there is no .*nowhere\.csv, which is to be data of site a"):
        hanse.simulate(adder, {"a": "nowhere.csv"})
