"""Plans with secure aggregation, simulated: the same sums, by the same words, without masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from hanse.config.load import load_plan
from hanse.core.run.events import Event
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.sums.events import CellLeftOut, SumOpened
from hanse.core.values.parameters import Parameters
from hanse.errors import ConfigError, DisclosureError, HanseError, PlanError
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate
from hanse.wire.tensors import write_file

MODEL = {"w": np.zeros((2, 3), np.float32), "steps": np.zeros((), np.int64)}
SITES = ("a", "b", "c", "d")
PLAN = """
name: masked
code: [training.py]
learner: training:learner
initial_model: model.safetensors
rounds: 2
tasks:
  train: {discloses: {update: aggregate, aggregated_by: AGGREGATED, metrics: [loss]}}
"""
SECURE = """
cells: {all: [a, b, c, d]}
privacy:
  secure_aggregation:
    model: {clip: 10.0, integers: [0, 50]}
    metrics: {loss: [0, 20]}
    examples: {least: 5, most: 40, max_share: 0.8}
    ready_after: 0s
"""
LEARNER = """
import numpy as np
import hanse

class Training:
    def __init__(self, site):
        self.site = site

    def train(self, parameters, task):
        number = ord(self.site.name[-1]) % 10
        if self.site.name in FAILING:
            raise ValueError("no data")
        w = parameters["w"] + np.float32(0.01) * np.arange(6, dtype=np.float32).reshape(2, 3) * number
        trained = {"w": w, "steps": parameters["steps"] + number}
        return hanse.TaskResult(5 + 3 * number, {"loss": 1 / (1 + number)}, trained)

def learner(site):
    return Training(site)
"""


def run(
    folder: Path,
    plan: str,
    *,
    sites: Sequence[str] = SITES,
    failing: str = "()",
    secure: str = SECURE,
    source: str = LEARNER,
) -> tuple[Outcome, list[Event]]:
    """Simulate, and give the events too; `AGGREGATED` stands for who aggregates."""
    folder.mkdir(exist_ok=True)
    write_file(folder / "model.safetensors", MODEL)
    (folder / "training.py").write_text(source.replace("FAILING", failing))
    text = plan.replace("AGGREGATED", "secure_aggregation" if secure else "aggregator")
    (folder / "plan.yaml").write_text(text + dedent(secure))
    events: list[Event] = []
    outcome = simulate(
        load_plan(folder / "plan.yaml"),
        [VirtualSite(name) for name in sites],
        Settings(state_dir=folder / "state", started_ms=0),
        lambda _, event: events.append(event),
    )
    return outcome, events


def model_of(outcome: Outcome) -> Parameters:
    """The last model."""
    assert outcome.model is not None
    return outcome.model


def opened_of(events: Sequence[Event]) -> list[SumOpened]:
    """The sums that were opened, in order."""
    return [event for event in events if isinstance(event, SumOpened)]


def test_a_masked_plan_gives_the_model_that_a_plain_one_does(tmp_path: Path) -> None:
    masked, events = run(tmp_path / "masked", PLAN)
    plain, _ = run(tmp_path / "plain", PLAN, secure="")

    assert np.allclose(model_of(masked)["w"], model_of(plain)["w"], atol=1e-7)
    assert int(model_of(masked)["steps"]) == int(model_of(plain)["steps"])
    opened = opened_of(events)
    assert [(each.cell, each.num_examples) for each in opened] == [("all", 4 * 5 + 3 * (7 + 8 + 9))] * 2


def test_no_answer_of_a_single_site_has_numbers(tmp_path: Path) -> None:
    _, events = run(tmp_path, PLAN)

    answers = [event for event in events if isinstance(event, UpdateAccepted)]
    assert [(each.num_examples, dict(each.metrics)) for each in answers] == [(0, {})] * 8
    opened = opened_of(events)
    assert opened[0].masked == {each.site: each.update for each in answers[:4]}
    assert opened[0].sum not in opened[0].masked.values()


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    found = [run(tmp_path / str(n), PLAN + f"seed: {seed}\n") for n, seed in enumerate((1, 1, 2))]

    first, again, other = ([each.sum for each in opened_of(events)] for _, events in found)
    assert first == again
    assert first != other
    assert np.array_equal(model_of(found[0][0])["w"], model_of(found[1][0])["w"])


SEVERAL = SECURE.replace("{all: [a, b, c, d]}", "{north: [a, b, c], south: [d, e, f]}").replace(
    "max_share: 0.8", "max_share: 1.0"
)
SIX = ("a", "b", "c", "d", "e", "f")


def test_cells_are_opened_one_by_one_and_summed_together(tmp_path: Path) -> None:
    masked, events = run(tmp_path / "masked", PLAN, sites=SIX, secure=SEVERAL)
    plain, _ = run(tmp_path / "plain", PLAN, sites=SIX, secure="")

    assert [each.cell for each in opened_of(events)] == ["north", "south"] * 2
    assert np.allclose(model_of(masked)["w"], model_of(plain)["w"], atol=1e-7)


def test_a_cell_that_lacks_a_member_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(HanseError, match="the cell south lacks 1 member: e: train failed"):
        run(tmp_path, PLAN, sites=SIX, secure=SEVERAL, failing='("e",)')


def test_or_is_left_out_whole_where_the_plan_says_so(tmp_path: Path) -> None:
    secure = SEVERAL.replace("model:", "incomplete: leave_out\n    model:")
    plan = PLAN + "cohort: {quorum: 0.5}\n"

    outcome, events = run(tmp_path / "short", plan, sites=SIX, secure=secure, failing='("e",)')
    alone, _ = run(tmp_path / "alone", PLAN, sites=SIX[:3], secure="")

    assert [each.cell for each in opened_of(events)] == ["north"] * 2
    assert [each.cell for each in events if isinstance(each, CellLeftOut)] == ["south"] * 2
    assert np.allclose(model_of(outcome)["w"], model_of(alone)["w"], atol=1e-7)


def test_virtual_sites_are_dealt_into_the_cells_of_a_plan_that_names_others(tmp_path: Path) -> None:
    sites = tuple(f"site-{n}" for n in range(1, 8))

    outcome, events = run(tmp_path, PLAN, sites=sites, secure=SEVERAL)

    cells = outcome.loaded.manifest.plan.cells
    assert cells == {"north": sites[:3], "south": sites[3:]}
    assert len(opened_of(events)[0].masked) == 3


def test_many_virtual_sites_of_one_cell_are_dealt_into_several(tmp_path: Path) -> None:
    sites = tuple(f"site-{n:02}" for n in range(30))

    outcome, _ = run(tmp_path, PLAN, sites=sites)

    assert [len(sites) for sites in outcome.loaded.manifest.plan.cells.values()] == [15, 15]


def test_sites_that_a_plan_names_in_part_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="x of the sites are in no cell of the plan masked"):
        run(tmp_path, PLAN, sites=("a", "b", "x", "c"))


def test_too_few_virtual_sites_for_a_cell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="2 sites are fewer than a cell needs, 3"):
        run(tmp_path, PLAN, sites=("x", "y"))


def test_too_few_virtual_sites_for_several_cells_are_refused_with_how_many_it_takes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="4 sites are too few for the 2 cells") as refused:
        run(tmp_path, PLAN, sites=("w", "x", "y", "z"), secure=SEVERAL)
    assert refused.value.mend == "Simulate 6 sites or more."


def test_a_site_with_too_few_examples_fails_as_every_failure_of_its_data(tmp_path: Path) -> None:
    source = LEARNER.replace("5 + 3 * number", "number - 5")

    with pytest.raises(HanseError, match="fewer than the 5 examples"):
        run(tmp_path, PLAN, source=source)


def test_a_workflow_cannot_ask_for_masked_answers_one_by_one(tmp_path: Path) -> None:
    workflow = """
def workflow(federation):
    for round in federation.rounds():
        list(round.ask("train"))
"""
    with pytest.raises(DisclosureError, match="masked"):
        run(tmp_path, PLAN + "workflow: training:workflow\n", source=LEARNER + workflow)


EVALUATE = """
    def evaluate(self, parameters, task):
        number = ord(self.site.name[-1]) % 10
        return hanse.TaskResult(number, {"auc": None if number == 7 else number / 20})

def learner"""


@pytest.mark.parametrize(("in_the_open", "auc"), [("", (8 + 9 + 0) / 20 / 3), ("[evaluate]", 145 / 20 / 17)])
def test_metrics_alone_are_masked_means_of_sites_unless_they_are_in_the_open(
    tmp_path: Path, in_the_open: str, auc: float
) -> None:
    plan = PLAN + "  evaluate: {discloses: {metrics: [auc]}}\n"
    optional = "" if in_the_open else ", auc: {range: [0, 1], optional: true}"
    secure = SECURE.replace("loss: [0, 20]", f"loss: [0, 20]{optional}")
    if in_the_open:
        secure += f"    in_the_open: {in_the_open}\n"

    outcome, events = run(tmp_path, plan, secure=secure, source=LEARNER.replace("\ndef learner", EVALUATE))

    assert outcome.run.metrics["auc"] == pytest.approx(auc, abs=1e-6)
    assert len(opened_of(events)) == (2 if in_the_open else 4)
