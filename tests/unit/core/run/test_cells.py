"""Sums over cells: whom they ask, when there is none, and that they stand when done again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.run.runs import MODEL, UPDATE, Driver

from hanse.core.run.hosting import check_sum, short_cell
from hanse.core.run.lifecycle import Fail, Resume, Stop
from hanse.core.run.requests.commands import (
    Commit,
    OpenExchange,
    OpenRound,
    OpenStream,
    RecordAggregate,
)
from hanse.core.run.run import Phase
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.values.ask_inputs import AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.errors import QuorumError, WorkflowError

EDGES, OTHER = "e" * 64, "f" * 64
PLAN: dict[str, Any] = {
    "workflow": "heart:workflow",
    "cells": {"north": ["a", "b"], "south": ["c", "d"]},
    "cohort": {"deadline": 100, "idle_limit": 30, "approvals": 500, "minimum": 2, "cell_minimum": 2},
    "groups": {"edges": {"float64": [2]}, "counts": {"int64": [2]}},
    "tasks": {
        "count": {
            "receives": ["edges"],
            "exchanges": 3,
            "varies": {"scale": [0.0, 4.0]},
            "discloses": {"aggregated_by": "aggregator", "groups": {"counts": "total"}},
        },
        "train": {"discloses": {"update": "individual"}},
    },
}
NORTH = AskInputs({"edges": EDGES}, cells=("north",))
ALL = AskInputs({"edges": EDGES})


def counting(sites: str = "abcdx", **changes: Any) -> Driver:
    """A round is open; `x` is in no cell."""
    return Driver(sites, **(PLAN | changes)).in_round()


def ask(driver: Driver, inputs: AskInputs, index: int = 0) -> tuple[str, ...]:
    """The sites that are asked."""
    driver.do(OpenExchange(1, index, "count", None, inputs=inputs))
    return tuple(driver.state.in_round()[index].members)


def answer(driver: Driver, sites: str, exchange: int = 1, examples: int = 10) -> None:
    for site in sites:
        driver.do(AcceptResult(exchange, site, examples, {}, UPDATE))


def problem(driver: Driver, exchange: int = 1) -> str:
    with pytest.raises(QuorumError) as refused:
        check_sum(driver.state.plan, driver.state.exchanges[exchange])
    return str(refused.value)


def test_the_sites_of_a_cell_are_asked_and_no_other() -> None:
    assert ask(counting(), NORTH) == ("a", "b")


def test_without_cells_all_of_them_are_and_nobody_outside() -> None:
    assert ask(counting(), ALL) == ("a", "b", "c", "d")


def test_an_answer_of_each_site_closes_a_sum_over_a_cell() -> None:
    driver = counting()
    ask(driver, NORTH)

    answer(driver, "ab")

    assert driver.state.exchanges[1].closed == "all"
    check_sum(driver.state.plan, driver.state.exchanges[1])
    assert driver.do(RecordAggregate(1, ("a", "b"), 20, UPDATE)) == ["UpdatesAggregated"]


def test_of_too_few_sites_there_is_no_sum_and_none_when_it_is_asked_again() -> None:
    driver = counting()
    ask(driver, NORTH)
    answer(driver, "a")
    driver.do(FailTask(1, "b", "no memory"))

    told = problem(driver)
    assert "the cell north has answers of 1 site with examples; by `cohort: {cell_minimum: 2}`" in told
    # A workflow that begins the round again finds the exchange as it is.
    ask(driver, NORTH)
    assert problem(driver) == told
    with pytest.raises(QuorumError, match="cell_minimum: 2"):
        driver.do(RecordAggregate(1, ("a",), 10, UPDATE))
    assert driver.state.phase is Phase.RUNNING


def test_the_run_continues_without_it() -> None:
    driver = counting()
    ask(driver, NORTH)
    driver.do(FailTask(1, "a", "no memory"))
    driver.do(FailTask(1, "b", "no memory"))
    assert "answers of 0 sites" in problem(driver)

    assert ask(driver, AskInputs({"edges": EDGES}, cells=("south",)), index=1) == ("c", "d")


def test_each_cell_of_a_sum_over_all_has_enough_sites_or_none() -> None:
    """Of two sums, the difference is the sum over a cell."""
    driver = counting()
    ask(driver, ALL)
    answer(driver, "abc")
    driver.do(FailTask(1, "d", "no memory"))
    exchange = driver.state.exchanges[1]
    assert "the cell south has answers of 1 site" in short_cell(driver.state.plan, exchange)

    driver = counting(cohort=PLAN["cohort"] | {"quorum": 0.5})
    ask(driver, ALL)
    answer(driver, "ab")
    driver.do(FailTask(1, "c", "no memory"))
    driver.do(FailTask(1, "d", "no memory"))
    assert short_cell(driver.state.plan, driver.state.exchanges[1]) == ""


def test_a_total_needs_sites_and_no_examples() -> None:
    driver = counting()
    ask(driver, NORTH)
    answer(driver, "ab", examples=0)

    check_sum(driver.state.plan, driver.state.exchanges[1])


def test_a_site_without_examples_does_not_hide_another() -> None:
    """Its totals may be zero, and the sum be the other's."""
    driver = counting()
    ask(driver, NORTH)
    answer(driver, "a", examples=0)
    answer(driver, "b", examples=10)

    assert "the cell north has answers of 1 site with examples" in problem(driver)


def test_what_is_weighed_needs_examples() -> None:
    weighed = {"aggregated_by": "aggregator", "groups": {"edges": "weighted_mean"}}
    driver = counting(tasks=PLAN["tasks"] | {"count": {"receives": ["edges"], "discloses": weighed}})
    ask(driver, NORTH)
    answer(driver, "ab", examples=0)

    assert "the cell north has answers of 0 sites with examples" in problem(driver)


def test_a_cell_of_which_no_site_is_in_the_cohort_has_no_sum() -> None:
    driver = counting("cd")

    with pytest.raises(QuorumError, match="no site of the cells north is in the cohort"):
        ask(driver, AskInputs({"edges": EDGES}, cells=("north",)))


@pytest.mark.parametrize(
    ("inputs", "sites", "told"),
    [
        (AskInputs({"edges": EDGES}, cells=("west",)), None, "the cell 'west'"),
        (AskInputs({"edges": EDGES}, cells=()), None, "no cell, or one twice"),
        (AskInputs(), None, "is asked with the groups none"),
        (AskInputs({"edges": EDGES, "counts": EDGES}), None, "is asked with the groups counts and edges"),
        (AskInputs({"edges": EDGES}, {"scale": 5.0}), None, "'scale' of task count is 5.0"),
        (ALL, ("a",), "only combined over the cohort"),
    ],
)
def test_what_the_plan_does_not_permit_is_refused(
    inputs: AskInputs, sites: tuple[str, ...] | None, told: str
) -> None:
    driver = counting()

    with pytest.raises(WorkflowError, match=told):
        driver.do(OpenExchange(1, 0, "count", None, sites, inputs))


def test_a_model_goes_with_the_tasks_that_receive_it() -> None:
    driver = counting()

    with pytest.raises(WorkflowError, match="'count' is asked with a model"):
        driver.do(OpenExchange(1, 0, "count", MODEL, inputs=ALL))
    with pytest.raises(WorkflowError, match="'train' is asked without a model"):
        driver.do(OpenExchange(1, 0, "train", None))


def test_a_task_is_asked_as_often_as_its_exchanges_say_whatever_is_asked() -> None:
    driver = counting()
    for index, inputs in enumerate((NORTH, ALL, NORTH)):
        ask(driver, inputs, index)

    with pytest.raises(WorkflowError, match="the plan permits 3 a round"):
        ask(driver, NORTH, 3)
    assert ask(driver, AskInputs({"edges": EDGES}, cells=("south",)), 3) == ("c", "d")


class TestAgain:
    """A workflow that begins the round again asks the same, or is told what was asked before."""

    @pytest.mark.parametrize(
        "other",
        [
            AskInputs({"edges": OTHER}, cells=("north",)),
            AskInputs({"edges": EDGES}, {"scale": 1.0}, ("north",)),
            AskInputs({"edges": EDGES}, cells=("south",)),
            ALL,
        ],
    )
    def test_other_groups_settings_or_cells_are_something_else(self, other: AskInputs) -> None:
        driver = counting()
        ask(driver, NORTH)

        with pytest.raises(WorkflowError, match="after a restart the workflow asked something else"):
            ask(driver, other)

    def test_it_says_what_was_asked(self) -> None:
        driver = counting()
        ask(driver, NORTH)

        with pytest.raises(WorkflowError) as refused:
            ask(driver, AskInputs({"edges": EDGES}, {"scale": 1.0}, ("north",)))
        assert "no model and group edges eeeeeeeeeeee, scale 1.0, cells north" in str(refused.value)
        assert "before it was count on no model and group edges eeeeeeeeeeee, cells north" in str(
            refused.value
        )

    @pytest.mark.parametrize(
        ("again", "number"),
        [
            (NORTH, 1),
            (ALL, 2),
            (AskInputs({"edges": OTHER}, cells=("north",)), 2),
            (AskInputs({"edges": EDGES}, {"scale": 1.0}, ("north",)), 2),
        ],
    )
    def test_a_round_that_begins_again_asks_the_same_under_its_number(
        self, again: AskInputs, number: int
    ) -> None:
        driver = counting()
        ask(driver, NORTH)
        for site in "ab":
            driver.do(FailTask(1, site, "no memory"))
        driver.do(Fail("quorum", "the cell north has answers of 0 sites"))
        driver.do(Resume("operator"))
        driver.do(OpenRound(1))

        ask(driver, again)

        assert [(e.number, e.inputs) for e in driver.state.in_round()] == [(number, again)]

    def test_the_same_asked_twice_has_two_numbers_again(self) -> None:
        driver = counting()
        ask(driver, NORTH)
        answer(driver, "ab", 1)
        ask(driver, NORTH, 1)
        answer(driver, "a", 2)
        driver.do(Stop("operator"))

        driver.do(Resume("operator"))
        ask(driver, NORTH)
        ask(driver, NORTH, 1)

        found = driver.state.in_round()
        assert [(e.number, e.answered) for e in found] == [(1, ("a", "b")), (2, ("a",))]


class TestCommit:
    def test_results_stay_until_they_are_given_again(self) -> None:
        driver = counting()
        driver.do(Commit(1, MODEL, results={"a": EDGES, "b": EDGES}))
        driver.do(OpenRound(2))
        driver.do(Commit(2, MODEL, results={"b": OTHER}))

        assert driver.state.results == {"a": EDGES, "b": OTHER}

    def test_a_run_without_a_model_commits_none(self) -> None:
        tasks = {"count": PLAN["tasks"]["count"]}
        driver = Driver("abcd", **(PLAN | {"tasks": tasks, "initial_model": "none"})).started()

        driver.do(OpenRound(0))
        with pytest.raises(WorkflowError, match="with a model, and by the plan the run has none"):
            driver.do(Commit(0, MODEL))
        driver.do(Commit(0, None))
        driver.do(OpenRound(1))
        driver.do(Commit(1, None, results={"counts": EDGES}))

        assert (driver.state.model, driver.state.committed) == (None, 1)

    def test_any_other_commits_one(self) -> None:
        with pytest.raises(WorkflowError, match="committed round 1 with no model"):
            counting().do(Commit(1, None))


class TestStreams:
    def test_they_ask_no_site_outside_the_cells(self) -> None:
        driver = Driver("abcdx", **PLAN).started()
        driver.do(OpenRound(0))
        driver.do(Commit(0, MODEL))

        driver.do(OpenStream("train", MODEL))

        assert [site for e in driver.state.stream() for site in e.members] == ["a", "b", "c", "d"]

    def test_they_take_no_groups(self) -> None:
        single = {"receives": ["model", "edges"], "discloses": {"update": "individual"}}
        driver = counting(tasks={"train": single})

        with pytest.raises(WorkflowError, match="'train' exchanges groups, which a stream does not take"):
            driver.do(OpenStream("train", ModelRef(MODEL.digest)))
