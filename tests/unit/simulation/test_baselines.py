"""Baselines of a simulated run: each site alone, and all data pooled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hanse.assembly.simulation import prepare, run
from hanse.learners.comparison import Comparison
from hanse.simulation.notices import Say, log
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import VirtualSite
from hanse.simulation.sites import counted

PLAN = """
name: adding
code: [adding.py]
learner: adding:learner
rounds: 3
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
"""
LEARNER = """
import numpy as np
import hanse

def learner(site):
    return Adder(STEP)

class Adder:
    def __init__(self, step):
        self.step = step

    def parameters(self):
        return {"w": np.zeros(1, np.float32)}

    def train(self, parameters, task):
        return hanse.TaskResult(1, {}, {"w": parameters["w"] + np.float32(self.step)})

    def evaluate(self, parameters, task):
        w = float(parameters["w"][0])
        return hanse.TaskResult(2, {"w": w, "ratio": w / self.step})
"""
OF_SITE = "float(site.name[-1])"
OF_SHARE = "len(site.share([0] * 6))"
POOLED = """
    def pooled(self, others):
        return Adder(self.step + sum(other.step for other in others))
"""
SCRIPT = """
import numpy as np
import hanse

mine = hanse.site().share(np.zeros(6))
model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model):
    model["w"] += len(mine)
    round.report(examples=len(mine), w=float(model["w"][0]))
"""


def compared(
    folder: Path,
    code: str,
    sites: list[VirtualSite],
    partition: Partition | None = None,
    say: Say = log,
    plan: str = PLAN,
) -> Comparison:
    if "hanse.rounds" in code:
        source = folder / "train.py"
        source.write_text(code)
    else:
        source = folder / "plan.yaml"
        source.write_text(plan)
        (folder / "adding.py").write_text(code)
    prepared = prepare(source, sites, partition, rounds=3)
    found = run(prepared, lambda run, event: None, say, baselines=True).comparison
    assert found is not None
    return found


def of_all(found: Comparison, metric: str = "w") -> dict[str, Any]:
    return {model: found.mean(model, metric) for model in found.scores}


def test_each_site_trains_alone_for_as_many_rounds(tmp_path: Path) -> None:
    found = compared(tmp_path, LEARNER.replace("STEP", OF_SITE), counted(2))

    assert of_all(found) == {"federated": 4.5, "site-1 alone": 3.0, "site-2 alone": 6.0}
    assert found.scores["site-1 alone"]["site-2"] == {"w": 3.0, "ratio": 1.5}
    assert found.examples == {"site-1": 2, "site-2": 2}


def test_sites_train_alone_without_the_local_rules(tmp_path: Path) -> None:
    learner = LEARNER.replace(
        "np.float32(self.step)", 'task.correct({"w": np.ones(1, np.float32)}, parameters)["w"]'
    )
    plan = PLAN.replace(
        "train: {discloses: {", "train: {local: [control_variates], receives: [model, control], discloses: {"
    ).replace("metrics: [loss]}}", "metrics: [loss], groups: {control: mean}}}")
    top = "groups: {control: {like: model}}\nworkflow: adding:shifted\n"
    workflow = """
def shifted(federation):
    for round in federation.rounds():
        mean = round.sum("train", groups={"control": {"w": np.full(1, 5.0, np.float32)}})
        round.commit(round.apply(mean))
"""

    found = compared(tmp_path, learner.replace("STEP", "1") + workflow, counted(2), plan=top + plan)

    assert of_all(found)["site-1 alone"] == 3.0


def test_all_data_are_pooled_where_the_learner_offers_it(tmp_path: Path) -> None:
    found = compared(tmp_path, LEARNER.replace("STEP", OF_SITE) + POOLED, counted(2))

    assert of_all(found)["all data pooled"] == 9.0
    assert found.notes == ()


def test_all_data_are_pooled_where_they_are_shared_with_a_word_on_what_that_is(tmp_path: Path) -> None:
    found = compared(tmp_path, LEARNER.replace("STEP", OF_SHARE), counted(2), Partition())

    assert of_all(found)["all data pooled"] == 18.0
    assert "what a site holds out may be among the training data" in found.notes[0]


def test_data_of_each_site_are_not_taken_for_shared_ones(tmp_path: Path) -> None:
    sites = [VirtualSite(name, data_root=tmp_path / name) for name in "ab"]

    found = compared(tmp_path, LEARNER.replace("STEP", OF_SHARE), sites, Partition())

    assert "all data pooled" not in found.scores


def test_a_site_that_fails_alone_costs_its_own_figures_only(tmp_path: Path) -> None:
    said: list[str] = []
    code = LEARNER.replace("STEP", OF_SITE).replace(
        "return hanse.TaskResult(1,", "assert parameters['w'][0] != 4\n        return hanse.TaskResult(1,"
    )

    found = compared(tmp_path, code, counted(2), say=said.append)

    assert of_all(found) == {"federated": 4.5, "site-1 alone": 3.0}
    assert said[0].startswith("no baseline: site-2 alone: train failed at adding.py:")


def test_a_script_is_compared_by_what_it_reports_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, SCRIPT, counted(2), Partition("quantity", 1.0))

    sizes = found.examples
    assert {site: by_site["w"] for site, by_site in found.scores["federated"].items()}.keys() == sizes.keys()
    for site, size in sizes.items():
        assert found.scores[f"{site} alone"] == {site: {"w": 3.0 * size}}
    assert of_all(found)["all data pooled"] == 18.0
    assert of_all(found)["site-1 alone"] is None


def test_a_script_that_evaluates_is_compared_like_a_learner(tmp_path: Path) -> None:
    code = SCRIPT.replace("rounds(model)", "rounds(model, evaluate=test)").replace(
        "for round", "def test(model):\n    return {'examples': 2, 'w': float(model['w'][0])}\n\nfor round"
    )

    found = compared(
        tmp_path, code.replace("len(mine)\n", "len(mine) + (hanse.site().index)\n"), counted(2), Partition()
    )

    assert of_all(found)["site-1 alone"] == 9.0
    assert found.scores["site-2 alone"] == {"site-1": {"w": 12.0}, "site-2": {"w": 12.0}}
    assert of_all(found)["all data pooled"] == 18.0
    assert found.examples == {"site-1": 2, "site-2": 2}


PERSONAL = """
import numpy as np
import hanse

def learner(site):
    return Personal(float(site.name[-1]))

class Personal:
    def __init__(self, own):
        self.own, self.head = own, np.zeros(1)

    def parameters(self):
        return {"w": np.zeros(1, np.float32)}

    def train(self, parameters, task):
        self.head = self.head + self.own
        return hanse.TaskResult(1, {}, {"w": parameters["w"] + 1})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {"head": float(self.head[0])})

    def local_state(self):
        return {"head": {"head": self.head}}

    def restore_local_state(self, state):
        self.head = np.array(state["head"]["head"])
"""


def test_the_federated_model_is_measured_with_what_its_sites_kept(tmp_path: Path) -> None:
    found = compared(tmp_path, PERSONAL, counted(2))

    assert found.scores["federated"] == {"site-1": {"head": 3.0}, "site-2": {"head": 6.0}}


HEADED = """
import numpy as np
import hanse

def learner(site):
    return Headed(float(site.name[-1]))

class Headed:
    def __init__(self, own):
        self.own = own

    def parameters(self):
        return {"w": np.zeros(1), "head.w": np.zeros(1)}

    def train(self, parameters, task):
        trained = {"w": parameters["w"] + self.own, "head.w": parameters["head.w"] + 10 * self.own}
        return hanse.TaskResult(1, {}, trained)

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {"sum": float(parameters["w"][0] + parameters["head.w"][0])})

    def pooled(self, others):
        return Headed(sum([other.own for other in others], self.own))
"""


def test_the_federated_model_is_measured_with_personal_tensors_and_all_others_as_a_whole(
    tmp_path: Path,
) -> None:
    found = compared(tmp_path, HEADED, counted(2), plan=PLAN + "personal: [head.*]\n")

    assert found.scores == {
        "federated": {"site-1": {"sum": 4.5 + 30}, "site-2": {"sum": 4.5 + 60}},
        "site-1 alone": {"site-1": {"sum": 33}, "site-2": {"sum": 33}},
        "site-2 alone": {"site-1": {"sum": 66}, "site-2": {"sum": 66}},
        "all data pooled": {"site-1": {"sum": 99}, "site-2": {"sum": 99}},
    }
