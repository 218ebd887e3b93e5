"""`hanse simulate`: from a file on the command line to lines, models and JSON."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from textwrap import dedent

import pytest
from tests.commands import Hanse

from hanse.config.load import load_plan
from hanse.wire.tensors import open_file

SCRIPT = """
import numpy as np
import hanse

site = hanse.site()
mine = site.share(np.arange(6) % 2)
model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model):
    model["w"] += len(mine)
    print("at", site.name)
    round.report(examples=len(mine), loss=1.0 / round.number)
"""
PLAN = """
name: adding
code: [adding.py]
learner: adding:learner
rounds: 3
keep_best: {metric: loss, mode: max}
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
"""
LEARNER = """
import numpy as np
import hanse

def learner(site):
    own = site.data_root is not None and site.data_root.is_dir()
    return Adder(float((site.data_root / "step.txt").read_text()) if own else 1.0)

class Adder:
    def __init__(self, step):
        self.step = step

    def parameters(self):
        return {"w": np.zeros(1, np.float32)}

    def train(self, parameters, task):
        w = parameters["w"] + np.float32(self.step)
        return hanse.TaskResult(1, {"loss": 1.0 / task.round_number}, {"w": w})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {})
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "adding.py").write_text(dedent(LEARNER), encoding="utf-8")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_a_script_needs_no_other_file_and_says_what_is_assumed(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2)

    assert ended.code == 0
    assert "train.py: workflow fedavg, rounds 5, seed 0, 2 sites: site-1, site-2" in ended.out
    assert "train discloses the sum of the updates, the metrics that the script reports" in ended.out
    assert "(loss: of each site's own model, as trained and before averaging)" in ended.out
    assert "  5/5  0.200    0.20    0.20" in ended.out
    assert "--output DIR writes the model" in ended.out


REFUSED = "sites refuse this plan by default: train may disclose a sum of {}"


def test_two_sites_can_be_simulated_and_are_said_to_be_too_few_elsewhere(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2)

    assert ended.code == 0
    assert ended.err.count(REFUSED.format("2 sites")) == 1
    assert "Add to the plan: `cohort: {minimum: 3}`" in ended.err


def test_a_plan_with_sums_of_enough_sites_has_no_warning(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 3)

    assert (ended.code, ended.err) == (0, "")


def test_json_has_the_warnings(plan: Path, hanse: Hanse) -> None:
    (warning,) = json.loads(hanse("simulate", plan, "--sites", 2, "--json").out)["warnings"]

    assert REFUSED.format("1 site") in warning


def test_the_output_holds_models_and_metrics(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    output = tmp_path / "deep" / "out"

    ended = hanse("simulate", plan, "--sites", 2, "--output", output)

    assert f"model: {output / 'model.safetensors'}" in ended.out
    assert open_file(output / "model.safetensors")["w"].tolist() == [3.0]
    assert open_file(output / "best.safetensors")["w"].tolist() == [1.0]
    metrics = json.loads((output / "metrics.json").read_text())
    assert [done["metrics"]["loss"] for done in metrics["rounds"]] == [1.0, 1 / 2, 0.333333]


def test_results_are_there_after_each_round(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    output = tmp_path / "out"
    seen = f"""
import json, pathlib
def test():
    file = pathlib.Path({str(output)!r}) / "metrics.json"
    return len(json.loads(file.read_text())["rounds"]) if file.exists() else 0
"""
    plan.with_name("adding.py").write_text(
        LEARNER.replace("w = parameters", "assert test() == task.round_number - 1; w = parameters") + seen
    )

    assert hanse("simulate", plan, "--sites", 1, "--output", output).code == 0


def interrupted_after(rounds: int, plan: Path, error: str = "KeyboardInterrupt") -> Path:
    code = LEARNER.replace(
        "w = parameters", f"assert task.round_number <= {rounds}, stop({error})\n        w = parameters"
    )
    plan.with_name("adding.py").write_text(code + "\n\ndef stop(error):\n    raise error\n")
    return plan


def test_an_interrupted_simulation_says_what_it_kept(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    output = tmp_path / "out"

    ended = hanse("simulate", interrupted_after(2, plan), "--sites", 1, "--output", output)

    assert ended.code == 130
    assert f"ended early, with 2 of 3 rounds done\nmodel: {output / 'model.safetensors'}" in ended.err
    assert open_file(output / "model.safetensors")["w"].tolist() == [2.0]
    assert json.loads((output / "metrics.json").read_text())["phase"] == "stopped"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_the_end_of_a_batch_job_or_a_terminal_is_an_interrupt(
    plan: Path, tmp_path: Path, hanse: Hanse, number: str
) -> None:
    code = LEARNER.replace(
        "w = parameters",
        f"task.round_number == 3 and os.kill(os.getpid(), signal.{number})\n        w = parameters",
    )
    plan.with_name("adding.py").write_text("import os, signal\n" + code)

    ended = hanse("simulate", plan, "--sites", 1, "--output", tmp_path / "out")

    assert ended.code == 130
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["phase"] == "stopped"
    assert signal.getsignal(getattr(signal, number)) is signal.SIG_DFL


def test_a_failed_simulation_keeps_the_rounds_before(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    output = tmp_path / "out"

    ended = hanse("simulate", interrupted_after(1, plan, "ValueError"), "--sites", 1, "--output", output)

    assert ended.code == 5
    assert "ended early, with 1 of 3 rounds done" in ended.err
    metrics = json.loads((output / "metrics.json").read_text())
    assert (metrics["phase"], len(metrics["rounds"])) == ("failed", 1)


def test_an_interrupted_simulation_without_output_says_so(plan: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", interrupted_after(0, plan), "--sites", 1)

    assert "ended early, with 0 of 3 rounds done\nnothing was kept; --output DIR" in ended.err


def test_results_are_not_overwritten(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    hanse("simulate", plan, "--sites", 1, "--output", tmp_path / "out")

    ended = hanse("simulate", plan, "--sites", 1, "--rounds", 1, "--output", tmp_path / "out")

    assert ended.code == 3
    assert "has results already (model.safetensors, best.safetensors, metrics.json)" in ended.err
    assert open_file(tmp_path / "out" / "model.safetensors")["w"].tolist() == [3.0]


def test_a_plan_that_was_saved_is_said_to_be_kept(script: Path, hanse: Hanse) -> None:
    file = script.with_name("plan.yaml")

    ended = hanse("simulate", script, "--sites", 3, "--save-plan", file)

    assert f"plan: {file}\nnothing else was kept" in ended.out


def test_baselines_are_a_table_and_part_of_the_results(script: Path, tmp_path: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2, "--baselines", "--output", tmp_path / "out")

    assert "site-1 alone" in ended.out
    assert "all data pooled" in ended.out
    models = json.loads((tmp_path / "out" / "metrics.json").read_text())["baselines"]["models"]
    assert models["site-1 alone"] == {"sites": {"site-1": {"loss": 0.2}}, "all": {"loss": None}}


def test_a_run_without_a_model_has_no_baselines(tmp_path: Path, hanse: Hanse) -> None:
    code = "def learner(site): ...\ndef workflow(federation): ...\n"
    (tmp_path / "code.py").write_text(code)
    plan = "name: counts\ncode: [code.py]\nlearner: code:learner\nworkflow: code:workflow\n"
    (tmp_path / "plan.yaml").write_text(plan + "initial_model: none\ntasks: {count: {receives: []}}\n")

    ended = hanse("simulate", tmp_path / "plan.yaml", "--site", "a", "--site", "b", "--baselines")

    assert ended.code != 0
    assert "baselines are models, and by the plan the run has none" in ended.err


def test_baselines_of_very_many_sites_are_refused(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 21, "--baselines")

    assert (ended.code, "there may be 20" in ended.err) == (2, True)


def test_json_is_all_there_is_on_the_standard_output(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2, "--rounds", 2, "--json")

    value = json.loads(ended.out)
    assert value["phase"] == "finished"
    assert value["rounds"][1]["sites"] == {"site-1": {"loss": 0.5}, "site-2": {"loss": 0.5}}
    assert "at site-1" in ended.err


def test_the_saved_plan_is_the_one_that_ran(script: Path, hanse: Hanse) -> None:
    file = script.with_name("plan.yaml")

    ended = hanse("simulate", script, "--sites", 2, "--rounds", 3, "--seed", 4, "--save-plan", file, "--json")

    loaded = load_plan(file)
    assert json.loads(ended.out)["plan"]["digest"] == loaded.digest
    assert (loaded.manifest.plan.rounds, loaded.manifest.plan.seed) == (3, 4)


OF_FILES = """
import argparse
import numpy as np
import hanse
from steps import step

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1.0)
lr = parser.parse_args().lr
model = {"w": np.zeros(1, np.float32)}

def test(model):
    return {"examples": 1, "score": float(model["w"][0])}

def tell(report, **metrics):
    report(examples=1, **metrics)

for round in hanse.rounds(model, evaluate=test):
    model["w"] += step(lr)
    tell(round.report, loss=1.0)
"""


def test_a_script_of_files_with_arguments_becomes_a_plan_that_runs_alike(script: Path, hanse: Hanse) -> None:
    script.write_text(OF_FILES)
    script.with_name("steps.py").write_text("def step(lr):\n    return 2 * lr\n")
    file = script.with_name("plan.yaml")

    first = hanse("simulate", script, "--sites", 3, "--rounds", 2, "--save-plan", file, "--", "--lr", "0.5")
    second = hanse("simulate", file, "--sites", 3)
    other = hanse("simulate", file, "--sites", 3, "--", "--lr", "0.25")

    plan = load_plan(file).manifest.plan
    assert (plan.code, plan.arguments) == (("train.py", "steps.py"), ("--lr", "0.5"))
    assert [*plan.tasks["train"].discloses.metrics, *plan.tasks["evaluate"].discloses.metrics] == [
        "loss",
        "score",
    ]
    row = "  2/2  1.000  2.000  1.00/2.00  1.00/2.00  1.00/2.00"
    assert row in first.out
    assert row in second.out
    assert "  2/2  1.000  1.000" in other.out
    assert "(loss: of each site's own model, as trained and before averaging)" in second.out


def test_what_is_left_of_a_saved_plan_is_said(script: Path, hanse: Hanse) -> None:
    file = script.with_name("plan.yaml")

    ended = hanse("simulate", script, "--sites", 3, "--save-plan", file)

    assert f"plan: {file}\nnothing else was kept" in ended.out


def test_an_option_that_may_be_meant_for_the_script_is_refused_with_its_place(
    script: Path, hanse: Hanse
) -> None:
    ended = hanse("simulate", script, "--sites", 3, "--lr", "0.5")

    assert ended.code == 2
    assert "arguments of a script stand at the end, after `--`" in ended.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--code", "*.json"], "--code is for a script without a plan"),
        (["--", "--lr", "1"], "`arguments` go with a `script`"),
    ],
)
def test_what_only_scripts_take_is_refused_for_a_learner(
    plan: Path, arguments: list[str], why: str, hanse: Hanse
) -> None:
    ended = hanse("simulate", plan, "--sites", 3, *arguments)

    assert ended.code == 3
    assert why in ended.err


def test_a_plan_is_not_saved_where_its_code_is_not(script: Path, tmp_path: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2, "--save-plan", tmp_path.parent / "plan.yaml")

    assert ended.code == 3
    assert f"Save it as {tmp_path / 'plan.yaml'}" in ended.err


def test_a_file_is_not_overwritten_by_a_plan(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2, "--save-plan", script)

    assert (ended.code, script.read_text()) == (7, SCRIPT)
    assert "File exists" in ended.err


def test_each_folder_can_be_a_site(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    for name, step in (("budapest", 1), ("zurich", 3)):
        folder = tmp_path / "sites" / name
        folder.mkdir(parents=True)
        (folder / "step.txt").write_text(str(step))

    ended = hanse("simulate", plan, "--site-data", tmp_path / "sites", "--output", tmp_path / "out")

    assert "2 sites: budapest, zurich" in ended.out
    assert open_file(tmp_path / "out" / "model.safetensors")["w"].tolist() == [6.0]


def test_a_plans_data_is_found_in_each_sites_folder(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    plan.write_text(PLAN + "data: [heart]\n")
    for name in ("budapest", "zurich"):
        (tmp_path / "sites" / name).mkdir(parents=True)
        (tmp_path / "sites" / name / "step.txt").write_text("1")
        (tmp_path / "sites" / name / "heart.csv").touch()

    ended = hanse("simulate", plan, "--site-data", tmp_path / "sites")

    assert (ended.code, "2 sites: budapest, zurich" in ended.out) == (0, True)


def test_sites_can_be_named_and_given_their_data(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    plan.write_text(PLAN + "data: [heart]\n")
    (tmp_path / "zurich.csv").touch()

    with_data = hanse("simulate", plan, "--site", "zurich", "--data", f"heart={tmp_path}/{{site}}.csv")
    without = hanse("simulate", plan, "--site", "zurich")

    assert (with_data.code, without.code) == (0, 3)
    assert "Add --data heart=PATH" in without.err


def test_data_given_to_a_script_stands_in_its_plan(script: Path, tmp_path: Path, hanse: Hanse) -> None:
    file = script.with_name("plan.yaml")

    hanse("simulate", script, "--sites", 2, "--data", f"heart={tmp_path}", "--save-plan", file)

    assert load_plan(file).manifest.plan.data == ("heart",)


def test_code_gets_no_data_that_its_plan_does_not_name(plan: Path, tmp_path: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", plan, "--sites", 2, "--data", f"heart={tmp_path}")

    assert ended.code == 3
    assert "Add `data: [heart]` to the plan" in ended.err


@pytest.mark.parametrize("share", ["site.share(np.arange(6) % 2)", "range(6)"])
def test_data_that_was_not_dealt_out_is_warned_of(script: Path, share: str, hanse: Hanse) -> None:
    script.write_text(SCRIPT.replace("site.share(np.arange(6) % 2)", share))

    ended = hanse("simulate", script, "--sites", 2, "--partition", "dirichlet:0.5")

    assert ended.code == 0
    assert ("no data was divided" in ended.err) is (share == "range(6)")


def test_a_site_that_is_dealt_nothing_is_announced_once(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 8, "--partition", "shards:1")

    assert ended.err.count("were dealt none of the 6 examples of a data set (--partition shards:1)") == 1


def test_a_data_set_can_be_dealt_out_by_a_column(script: Path, hanse: Hanse) -> None:
    by_city = "site.share(np.arange(6), {'city': np.array(list('aabbbc'))})"
    text = SCRIPT.replace("site.share(np.arange(6) % 2)", by_city)
    script.write_text(text.replace("loss=1.0 / round.number", "loss=float(len(mine))"))

    ended = hanse("simulate", script, "--sites", 3, "--partition", "column:city", "--rounds", 1, "--json")

    losses = json.loads(ended.out)["rounds"][0]["sites"]
    assert losses == {"site-1": {"loss": 2.0}, "site-2": {"loss": 3.0}, "site-3": {"loss": 1.0}}


def test_a_column_that_the_code_does_not_give_ends_the_run_with_the_mend(script: Path, hanse: Hanse) -> None:
    ended = hanse("simulate", script, "--sites", 2, "--partition", "column:city")

    assert ended.code == 3
    assert "Write site.share(labels, table)" in ended.err


@pytest.mark.parametrize("source", ["script", "plan"])
def test_data_that_the_code_misses_is_added_on_the_command_line(
    source: str, script: Path, plan: Path, hanse: Hanse
) -> None:
    script.write_text(SCRIPT.replace("site.share(", "site.data['heart'] and site.share("))
    plan.with_name("adding.py").write_text(LEARNER.replace("own =", "site.data['heart']; own ="))

    ended = hanse("simulate", script if source == "script" else plan, "--sites", 2)

    assert ended.code == 3
    assert "dd --data NAME=PATH" in ended.err
    assert "site.yaml" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "which sites?"),
        (["--sites", "2", "--site", "a"], 2, "which sites?"),
        (["--site-data", ".", "--data-root", "."], 2, "leave --data-root out"),
        (["--sites", "0"], 2, "--sites"),
        (["--sites", "2", "--partition", "fair"], 3, "'fair' is not a partition"),
        (["--sites", "2", "--engine", "ray"], 3, "no engine 'ray' in this version"),
        (["--site", "Zurich"], 3, "'Zurich' is not a valid name"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    script: Path, arguments: list[str], code: int, complaint: str, hanse: Hanse
) -> None:
    ended = hanse("simulate", script, *arguments)

    assert ended.code == code
    assert complaint in ended.err
    assert ended.err.count("\n") == 1


def test_an_error_in_the_script_is_told_by_its_line_with_its_trace(script: Path, hanse: Hanse) -> None:
    script.write_text(SCRIPT.replace("len(mine)\n    print", "len(nobody)\n    print"))

    ended = hanse("simulate", script, "--sites", 2)

    assert ended.code == 5
    assert "train.py:9: NameError: name 'nobody' is not defined" in ended.err
    assert "round 1, train: site-1 failed" in ended.out
    assert '  |   File "' in ended.out


def test_an_error_after_the_last_round_is_warned_of(script: Path, tmp_path: Path, hanse: Hanse) -> None:
    script.write_text(SCRIPT + "\nopen('/no/such/file')\n")

    ended = hanse("simulate", script, "--sites", 1, "--output", tmp_path / "out")

    assert ended.code == 0
    assert "after the last round, at site-1: the end of train.py failed" in ended.err
    assert (tmp_path / "out" / "model.safetensors").exists()
