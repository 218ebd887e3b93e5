"""Groups, settings, cells, states and results, as a workflow hands them over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.workflow.hosts import MODEL, ScriptedHost

from hanse.core.values.groups import Groups
from hanse.core.values.update import Aggregate, Update
from hanse.errors import DisclosureError, WorkflowError
from hanse.workflow.base import Request
from hanse.workflow.federation import Federation, Round

TASKS = {
    "measure": {
        "receives": ["edges", "table"],
        "varies": {"scale": [0.0, 4.0], "depth": [1, 3]},
        "discloses": {"aggregated_by": "aggregator", "groups": {"table": "total", "point": "individual"}},
    },
    "train": {"receives": ["model", "control"], "discloses": {"update": "individual"}},
    "show": {"receives": [], "discloses": {"groups": {"point": "individual"}}},
}
PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "tasks": TASKS,
    "options": {"p": 2},
    "dimensions": {"bins": 4},
    "groups": {
        "edges": {"float64": ["bins"]},
        "table": {"n": {"int64": []}, "sum": {"float64": ["p"]}},
        "point": {"float64": []},
        "control": {"like": "model"},
    },
    "cells": {"north": ["a", "b", "c"], "south": ["d", "e", "f"]},
}
TABLE = {"n": np.int64(3), "sum": np.zeros(2)}
SENT: dict[str, Any] = {"edges": np.linspace(0, 1, 4), "table": TABLE}


class AnsweringHost(ScriptedHost):
    """Sums are what a test says they are."""

    def sum(self, request: Request) -> Aggregate:
        self.asked.append(request)
        return Aggregate(0, {}, None, ("a",))


def opened(**changes: Any) -> tuple[AnsweringHost, Round]:
    host = AnsweringHost(committed=0, **(PLAN | changes))
    host.answer = lambda request: (Update("a", 1, {}),)
    return host, next(iter(Federation(host).rounds()))


class TestSent:
    def test_a_task_is_asked_with_its_groups_settings_and_cells(self) -> None:
        host, round = opened()

        round.sum(
            "measure", groups=SENT, settings={"scale": 2, "depth": np.int32(2)}, cells=["south", "north"]
        )

        (request,) = host.asked
        assert request.model is None
        assert set(request.groups) == {"edges", "table"}
        assert request.settings == {"depth": 2, "scale": 2.0}
        assert [type(value) for value in request.settings.values()] == [int, float]
        assert request.cells == ("north", "south")

    def test_a_task_without_groups_is_asked_with_none(self) -> None:
        host, round = opened()

        list(round.ask("show"))

        assert (host.asked[0].groups, host.asked[0].cells, host.asked[0].settings) == ({}, None, {})

    def test_numbers_are_arrays_without_dimensions(self) -> None:
        host, round = opened()

        round.sum("measure", groups=SENT | {"table": {"n": 3, "sum": np.zeros(2)}})

        table = host.asked[0].groups["table"]
        assert isinstance(table, dict)
        assert table["n"].shape == ()

    @pytest.mark.parametrize(
        ("groups", "problem"),
        [
            ({}, "is asked with the groups none; by the plan it receives edges and table"),
            (None, "is asked with the groups none"),
            ({"edges": SENT["edges"]}, "is asked with the groups edges; by the plan"),
            (SENT | {"point": np.zeros(())}, "is asked with the groups edges, point and table"),
            (SENT | {"edges": np.zeros(5)}, "bins is 5, at most 4 by the plan"),
            (SENT | {"edges": np.zeros((2, 2))}, "group 'edges' has 2 dimensions, and should have 1"),
            (SENT | {"edges": np.zeros(4, np.float32)}, "group 'edges' is float32, and should be float64"),
            (
                SENT | {"edges": {"x": np.zeros(4)}},
                "it has array 'x' of group 'edges', and should have group",
            ),
            (SENT | {"edges": [0.0, 1.0]}, "group 'edges' is a list"),
            (SENT | {"edges": "ab"}, "group 'edges' is a str"),
            (SENT | {"table": {"n": np.int64(3)}}, "array 'sum' of group 'table' is missing"),
            (
                SENT | {"table": TABLE | {"n": 3.0}},
                "array 'n' of group 'table' is float64, and should be int64",
            ),
            (SENT | {"table": TABLE | {"n": "3"}}, "group 'table': array 'n' is a str"),
            (SENT | {"table": TABLE | {"sum": np.zeros(3)}}, r"has the shape (3,): p is 2"),
            (SENT | {"edges": np.array([0, np.nan])}, "a NaN or an infinity in group 'edges'"),
            (
                SENT | {"table": TABLE | {"sum": np.full(2, np.inf)}},
                "infinity in array 'sum' of group 'table'",
            ),
            ([1], "groups must be arrays by name"),
        ],
    )
    def test_other_groups_are_refused_before_anything_is_sent(self, groups: Any, problem: str) -> None:
        host, round = opened()

        with pytest.raises(WorkflowError) as refused:
            round.sum("measure", groups=groups)

        assert problem in str(refused.value)
        assert host.asked == []

    def test_a_masked_array_is_refused_by_its_group(self) -> None:
        _, round = opened()
        hidden = np.ma.array(np.zeros(4), mask=[True, False, False, False])

        with pytest.raises(WorkflowError, match="group 'edges' has masked numbers"):
            round.sum("measure", groups=SENT | {"edges": hidden})

    def test_a_group_like_the_model_is_like_the_one_that_is_sent(self) -> None:
        host, round = opened()
        control = {"w": np.ones(2, np.float32)}

        list(round.ask("train", groups={"control": control}))
        assert host.asked[0].model is not None
        with pytest.raises(
            WorkflowError, match=r"array 'w' of group 'control' is float64 of the shape \(2,\)"
        ):
            round.ask("train", groups={"control": {"w": np.ones(2)}})

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ({"scale": 5}, "'scale' of task measure is 5; by the plan it is from 0.0 to 4.0"),
            ({"lr": 0.1}, "'lr' of task measure does not vary by the plan"),
            ({"depth": 1.5}, "'depth' of task measure has to be a whole number"),
            ({"scale": np.nan}, "has to be a number, not nan"),
            ({"scale": np.zeros(1)[0] + 9}, "is 9.0; by the plan"),
        ],
    )
    def test_settings_outside_of_what_varies_are_refused(
        self, settings: dict[str, Any], problem: str
    ) -> None:
        host, round = opened()

        with pytest.raises(WorkflowError) as refused:
            round.sum("measure", groups=SENT, settings=settings)
        assert problem in str(refused.value)
        assert "`tasks: {measure: {varies: {NAME: [LOW, HIGH]}}}` permits more" in str(refused.value)
        assert host.asked == []

    def test_a_model_is_none_of_a_task_that_receives_none(self) -> None:
        _, round = opened()

        with pytest.raises(WorkflowError, match="'show' is asked with a model, and by the plan it does not"):
            round.ask("show", MODEL)

    def test_what_is_combined_is_not_asked_for_singly(self) -> None:
        _, round = opened()

        with pytest.raises(DisclosureError, match="group 'table' of 'measure' only combined over the cohort"):
            round.ask("measure", groups=SENT)
        with pytest.raises(DisclosureError, match="only combined over the cohort"):
            round.sum("measure", groups=SENT, sites=["a", "b", "c"])


class TestFirstModel:
    BARE: dict[str, Any] = {"tasks": {"show": TASKS["show"]}}  # noqa: RUF012

    def test_the_workflow_gives_it_where_the_plan_says_so(self) -> None:
        host = AnsweringHost(**(PLAN | self.BARE | {"initial_model": "workflow"}))
        first = {"beta": np.zeros(3)}

        round = next(iter(Federation(host).rounds(first=first)))

        assert host.asked == []
        assert host.commits[0].round_number == 0
        assert host.commits[0].model is first
        assert round.number == 1

    def test_it_is_not_given_twice(self) -> None:
        host = AnsweringHost(committed=1, **(PLAN | self.BARE | {"initial_model": "workflow"}))

        round = next(iter(Federation(host).rounds(first={"beta": np.zeros(3)})))

        assert (round.number, host.commits) == (2, [])
        assert round.model is MODEL

    def test_without_one_the_plans_line_is_named(self) -> None:
        host = AnsweringHost(**(PLAN | self.BARE | {"initial_model": "workflow"}))

        with pytest.raises(WorkflowError, match=r"gives no first model.*rounds\(first=\{\.\.\.\}\)"):
            next(iter(Federation(host).rounds()))

    @pytest.mark.parametrize("origin", ["none", None])
    def test_where_the_plan_has_another_origin_it_is_refused(self, origin: str | None) -> None:
        host = AnsweringHost(**(PLAN | self.BARE | {"initial_model": origin}))

        with pytest.raises(WorkflowError, match="Write `initial_model: workflow` in the plan"):
            next(iter(Federation(host).rounds(first={"beta": np.zeros(3)})))

    def test_it_is_made_of_arrays(self) -> None:
        host = AnsweringHost(**(PLAN | self.BARE | {"initial_model": "workflow"}))

        with pytest.raises(WorkflowError, match="the first model: parameter 'beta' is a list"):
            next(iter(Federation(host).rounds(first={"beta": [0.0]})))  # type: ignore[dict-item]

    def test_a_run_may_have_none(self) -> None:
        host = AnsweringHost(**(PLAN | self.BARE | {"initial_model": "none"}))

        round = next(iter(Federation(host).rounds()))
        round.commit(results={"total": np.float64(3)})

        assert [(c.round_number, c.model) for c in host.commits] == [(0, None), (1, None)]
        with pytest.raises(WorkflowError, match="the run has no model"):
            _ = round.model


class TestCommit:
    def test_without_a_model_the_one_before_stays(self) -> None:
        host, round = opened()

        round.commit(metrics={"loss": 1.0})

        assert host.commits[0].model is MODEL

    def test_the_state_may_have_tables(self) -> None:
        host, round = opened()
        state: Groups = {"control": {"w": np.ones(2)}, "step": np.int64(1)}

        round.commit(state=state)

        kept = host.commits[0].state
        assert isinstance(kept["control"], dict)
        assert kept["control"]["w"].tolist() == [1, 1]
        assert kept["step"] == 1

    @pytest.mark.parametrize(
        ("state", "problem"),
        [
            ({"@a": np.zeros(1)}, "'@a' begins with @"),
            ({"a": "text"}, "group 'a' is a str"),
            ({"a": {"b": {"c": np.zeros(1)}}}, "array 'b' is a dict"),
            ({1: np.zeros(1)}, "1 is not a name"),
        ],
    )
    def test_other_states_are_refused(self, state: Any, problem: str) -> None:
        host, round = opened()

        with pytest.raises(WorkflowError, match=problem):
            round.commit(state=state)
        assert host.commits == []

    def test_results_are_of_any_shape(self) -> None:
        host, round = opened()

        round.commit(results={"curve.north": {"x": np.zeros(2), "y-1": np.zeros((3, 1))}, "n": 3})

        assert set(host.commits[0].results) == {"curve.north", "n"}

    @pytest.mark.parametrize(
        ("results", "problem"),
        [
            ({"../x": np.zeros(1)}, "'../x' is not a name of a result"),
            ({"": np.zeros(1)}, "'' is not a name of a result"),
            ({"9": np.zeros(1)}, "'9' is not a name of a result"),
            ({"a": {}}, "the result 'a' is a table without arrays"),
            ({"a": {"x/y": np.zeros(1)}}, "the result 'a' is a table without arrays, or one whose arrays"),
            ({"a": ["text"]}, "group 'a' is a list"),
            ({"a": np.array(["text"])}, "the result 'a' is of str"),
            ({"a": {"b": np.array([object()])}}, "the result 'a' is of object"),
            ({"a": np.zeros(2, np.complex64)}, "the result 'a' is of complex64"),
            ({"a": np.zeros(11, np.uint8)}, "the results have 11 bytes; by the plan they have at most 10"),
        ],
    )
    def test_other_results_are_refused(self, results: Any, problem: str) -> None:
        host, round = opened(max_result_bytes=10)

        with pytest.raises(WorkflowError, match=problem):
            round.commit(results=results)
        assert host.commits == []


def test_cells_are_those_of_the_plan() -> None:
    host, _ = opened()

    assert Federation(host).cells == {"north": ("a", "b", "c"), "south": ("d", "e", "f")}


def test_the_population_of_a_round_is_that_of_its_beginning() -> None:
    host, round = opened()
    assert round.population == ("a", "b")

    host.population = ("a",)

    assert round.population == ("a", "b")
