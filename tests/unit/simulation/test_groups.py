"""Runs with groups beside the model or without any model, simulated from files on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy as np
import pytest

from hanse.config.load import load_plan
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeOpened, RoundCommitted, UpdatesAggregated
from hanse.errors import HanseError, QuorumError
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate

TIMES = {"a": [1, 3, 3], "b": [2, 3, 5, 5], "c": [4]}
EVENTS = {"a": [1, 1, 0], "b": [1, 1, 1, 0], "c": [1]}
PLAN = """
name: counting
code: [counting.py]
learner: counting:learner
workflow: counting:workflow
initial_model: {origin}
options: {{bins: 6}}
"""
KAPLAN_MEIER = """
groups:
  survival: {events: {int64: [bins]}, leaving: {int64: [bins]}}
tasks:
  count: {receives: [], discloses: {aggregated_by: aggregator, groups: {survival: total}}}
"""
LEARNER = """
import numpy as np
import hanse
from hanse.errors import QuorumError, UpdateError

class Counting:
    def __init__(self, site):
        self.site = site
        self.times, self.events = TIMES[site.name], EVENTS[site.name]

    def count(self, parameters, task):
        assert parameters == {}
        days = lambda values: np.bincount(values, minlength=6).astype(np.int64)
        observed = [time for time, event in zip(self.times, self.events) if event]
        groups = {"survival": {"events": days(observed), "leaving": days(self.times)}}
        return hanse.TaskResult(len(self.times), groups=groups)

    def measure(self, parameters, task):
        return MEASURE

def learner(site):
    return Counting(site)
"""

Simulate = Callable[..., Outcome]


@pytest.fixture
def simulated(tmp_path: Path) -> Simulate:
    """Run a plan, a workflow's body for each round, and what `measure` gives."""
    events: list[Event] = []

    def run(
        plan: str, workflow: str, measure: str = "None", *, first: str = "", origin: str = "none"
    ) -> Outcome:
        events.clear()
        learner = LEARNER.replace("MEASURE", measure).replace("TIMES", repr(TIMES))
        body = indent(dedent(workflow).strip(), " " * 8)
        loop = f"def workflow(federation):\n    for round in federation.rounds({first}):\n{body}\n"
        (tmp_path / "counting.py").write_text(f"{learner.replace('EVENTS', repr(EVENTS))}\n\n{loop}")
        (tmp_path / "plan.yaml").write_text(PLAN.format(origin=origin) + dedent(plan))
        sites = [VirtualSite(name, {}) for name in TIMES]
        outcome = simulate(
            load_plan(tmp_path / "plan.yaml"),
            sites,
            Settings(state_dir=tmp_path / "state", started_ms=0),
            lambda run, event: events.append(event),
        )
        return outcome

    run.events = events  # type: ignore[attr-defined]
    return run


def test_a_survival_curve_without_a_model_is_that_of_the_pooled_data(simulated: Simulate) -> None:
    workflow = """
    g = round.sum("count").groups["survival"]
    at_risk = g["leaving"][::-1].cumsum()[::-1]
    curve = np.cumprod(1 - g["events"] / np.maximum(at_risk, 1))
    round.commit(results={"kaplan_meier": {"survival": curve, "at_risk": at_risk}})
    """

    outcome = simulated(KAPLAN_MEIER, workflow)

    times, events = np.concatenate(list(TIMES.values())), np.concatenate(list(EVENTS.values()))
    pooled, expected = 1.0, []
    for day in range(6):
        here = times >= day
        pooled *= 1 - ((times == day) & (events == 1)).sum() / max(here.sum(), 1)
        expected.append(pooled)
    assert outcome.model is None
    curve = outcome.results["kaplan_meier"]
    assert isinstance(curve, dict)
    assert curve["survival"].tolist() == expected
    assert curve["at_risk"].tolist() == [8, 8, 7, 6, 3, 2]


def test_results_are_named_in_the_journal_by_their_digests(simulated: Simulate) -> None:
    workflow = 'round.commit(results={"total": round.sum("count").groups["survival"]})'

    outcome = simulated(KAPLAN_MEIER, workflow)

    committed = [e for e in simulated.events if isinstance(e, RoundCommitted)]  # type: ignore[attr-defined]
    assert [(e.round_number, e.model, set(e.results)) for e in committed] == [
        (0, None, set()),
        (1, None, {"total"}),
    ]
    assert outcome.run.results == committed[-1].results


INDIVIDUAL = """
groups: {largest: {float64: []}, table: {x: {int64: [2]}}, sum: {float64: []}}
tasks:
  measure:
    receives: []
    discloses: {aggregated_by: aggregator, groups: {largest: individual, table: individual, sum: total}}
  count: {receives: []}
"""
MEASURED = (
    "hanse.TaskResult(1, groups={'largest': float(max(self.times)), 'sum': np.float64(sum(self.times)), "
    "'table': {'x': np.full(2, len(self.times))}})"
)


def test_individual_groups_stand_beside_combined_ones_by_site(simulated: Simulate) -> None:
    workflow = """
    found = round.sum("measure")
    assert found.sites == ("a", "b", "c")
    assert found.groups["sum"] == 26.0
    assert set(found.groups) == {"sum"}
    assert {site: float(value) for site, value in found.each["largest"].items()} == {"a": 3, "b": 5, "c": 4}
    assert [found.each["table"][site]["x"].tolist() for site in "abc"] == [[3, 3], [4, 4], [1, 1]]
    round.commit(results={"sum": found.groups["sum"]})
    """

    assert simulated(INDIVIDUAL, workflow, MEASURED).results["sum"] == 26.0


def test_where_anything_is_combined_no_site_is_asked_by_itself(simulated: Simulate) -> None:
    with pytest.raises(HanseError, match="group 'sum' of 'measure' only combined over the cohort"):
        simulated(INDIVIDUAL, 'list(round.ask("measure"))', MEASURED)


def test_individual_groups_alone_may_be_asked_of_each(simulated: Simulate) -> None:
    plan = """
    groups: {largest: {float64: []}}
    tasks: {measure: {receives: [], discloses: {groups: {largest: individual}}}, count: {receives: []}}
    """
    workflow = """
    found = {u.site: float(u.groups["largest"]) for u in round.ask("measure")}
    one = [float(u.groups["largest"]) for u in round.ask("measure", sites=["b"])]
    assert (found, one) == ({"a": 3, "b": 5, "c": 4}, [5])
    round.commit()
    """
    measured = "hanse.TaskResult(1, groups={'largest': float(max(self.times))})"

    plan = plan.replace("receives: [], discloses", "receives: [], exchanges: 2, discloses")
    assert simulated(plan, workflow, measured).run.committed == 1


FIRST_BY_WORKFLOW = """
groups: {step: {like: model}, factor: {float64: []}}
tasks:
  measure:
    receives: [model, factor]
    discloses: {aggregated_by: aggregator, groups: {step: mean}}
  count: {receives: []}
"""


def test_the_workflow_may_give_the_first_model(simulated: Simulate) -> None:
    measured = (
        "hanse.TaskResult(len(self.times), "
        "groups={'step': {'beta': task.groups['factor'] * (len(self.times) - parameters['beta'])}})"
    )
    workflow = """
    step = round.sum("measure", groups={"factor": np.float64(0.5)}).groups["step"]
    round.commit(hanse.add(round.model, step))
    """

    outcome = simulated(
        FIRST_BY_WORKFLOW, workflow, measured, first='first={"beta": np.zeros(2)}', origin="workflow"
    )

    assert outcome.model is not None
    assert outcome.model["beta"].tolist() == pytest.approx([4 / 3] * 2)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{}", "group 'largest' is missing"),
        ("{'largest': 1.0, 'more': 1.0}", "gave the group 'more'; the plan has it disclose: largest"),
        ("{'largest': np.zeros(2)}", "group 'largest' has shape"),
        ("{'largest': np.float32(1)}", "group 'largest' has dtype float32, expected float64"),
        ("{'largest': {'x': np.zeros(())}}", "array 'x' of group 'largest' was not expected"),
        ("{'largest': float('nan')}", "a NaN or an infinity in group 'largest'"),
        ("{'largest': 7.0}", "group 'largest' has a number outside of -5 to 5, its `range`"),
        ("{'largest': 'five'}", "group 'largest' is a str"),
        ("[1.0]", "groups must be arrays by name"),
    ],
)
def test_groups_that_a_learner_may_not_give_fail_its_task(
    given: str, problem: str, simulated: Simulate
) -> None:
    plan = """
    groups: {largest: {float64: [], range: [-5, 5]}}
    tasks: {measure: {receives: [], discloses: {groups: {largest: individual}}}, count: {receives: []}}
    """

    with pytest.raises(QuorumError) as failed:
        simulated(plan, 'round.sum("measure")', f"hanse.TaskResult(1, groups={given})")
    assert problem in str(failed.value)


def test_what_a_learner_receives_is_read_only(simulated: Simulate) -> None:
    plan = """
    groups: {edges: {float64: [2]}}
    tasks: {measure: {receives: [edges]}, count: {receives: []}}
    """
    measured = "task.groups['edges'].__setitem__(0, 1.0)"

    with pytest.raises(QuorumError, match="read-only"):
        simulated(plan, 'round.sum("measure", groups={"edges": np.zeros(2)})', measured)


CELLS = """
groups: {survival: {events: {int64: [bins]}, leaving: {int64: [bins]}}}
cells: {north: [a, b], south: [c, d]}
cohort: {cell_minimum: 2, minimum: 2, quorum: 0.5}
tasks:
  count: {receives: [], exchanges: 2, discloses: {aggregated_by: aggregator, groups: {survival: total}}}
"""


def test_a_sum_over_a_cell_asks_nobody_else_and_one_that_is_too_small_is_none(simulated: Simulate) -> None:
    workflow = """
    try:
        round.sum("count", cells=["south"])  # of its two sites, one is here
        raise AssertionError
    except QuorumError as error:
        assert "the cell south has answers of 1 site" in str(error), str(error)
    north = round.sum("count", cells=["north"])
    assert north.sites == ("a", "b")
    round.commit(results={"leaving": north.groups["survival"]["leaving"]})
    """

    outcome = simulated(CELLS, workflow)

    opened = [e.cohort for e in simulated.events if isinstance(e, ExchangeOpened)]  # type: ignore[attr-defined]
    assert opened == [("c",), ("a", "b")]
    leaving = outcome.results["leaving"]
    assert isinstance(leaving, np.ndarray)
    assert leaving.sum() == 7


def test_a_total_that_overflows_is_an_error_after_all_have_answered(simulated: Simulate) -> None:
    """As in a deployment, where answers are summed when the exchange is closed."""
    plan = """
    groups: {small: {uint8: []}}
    tasks:
      measure: {receives: [], discloses: {aggregated_by: aggregator, groups: {small: total}}}
      count: {receives: []}
    """
    workflow = """
    try:
        round.sum("measure")
        raise AssertionError
    except UpdateError as error:
        assert "total of group 'small' over the sites is too large for uint8" in str(error)
    round.commit()
    """

    outcome = simulated(plan, workflow, "hanse.TaskResult(1, groups={'small': np.uint8(200)})")

    assert outcome.run.committed == 1
    assert not [e for e in simulated.events if isinstance(e, UpdatesAggregated)]  # type: ignore[attr-defined]


def test_a_state_may_have_groups(simulated: Simulate) -> None:
    workflow = """
    seen = round.state.get("seen", {"n": np.int64(0)})
    assert int(seen["n"]) == round.number - 1
    assert round.number == 1 or int(round.state["last"]) == round.number - 1
    round.commit(state={"seen": {"n": seen["n"] + 1}, "last": np.int64(round.number)})
    """

    outcome = simulated(KAPLAN_MEIER + "rounds: 3\n", workflow)

    assert outcome.run.committed == 3


def test_results_stay_until_they_are_given_again(simulated: Simulate) -> None:
    workflow = """
    if round.number == 2:
        assert float(federation.results["first"]) == 1
    round.commit(results={"first": 1.0} if round.number == 1 else {"second": {"x": np.arange(2)}})
    """

    outcome = simulated(KAPLAN_MEIER + "rounds: 2\n", workflow)

    assert set(outcome.results) == {"first", "second"}


def facts(outcome: Outcome) -> dict[str, Any]:
    return dict(outcome.run.results)


def test_the_same_plan_gives_the_same_results(simulated: Simulate) -> None:
    workflow = 'round.commit(results={"total": round.sum("count").groups["survival"]})'

    assert facts(simulated(KAPLAN_MEIER, workflow)) == facts(simulated(KAPLAN_MEIER, workflow))
