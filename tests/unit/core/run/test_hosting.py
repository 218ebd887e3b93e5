"""Decisions that the hosts of a workflow share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, Driver, plan

from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.hosting import (
    CommittedStanding,
    accepted_result,
    check_model,
    dead_exchanges,
    next_ready,
    staleness,
    standing_of,
    stream_model,
)
from hanse.core.run.lifecycle import Leave
from hanse.core.run.requests.commands import Commit, OpenStream
from hanse.core.run.tasks import AcceptResult, FailTask
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.errors import DisclosureError, RunError, WorkflowError

IN_AGGREGATE = plan(
    tasks={
        "train": {"discloses": {"update": "aggregate", "aggregated_by": "aggregator"}},
        "evaluate": {},
    }
)
W = {"w": np.ones(2, np.float32)}


def streaming() -> Driver:
    """Exchanges 1, 2 and 3 of a stream, each of one of the sites a, b and c."""
    driver = Driver("abc").started()
    driver.do(Commit(0, MODEL))
    driver.do(OpenStream("train", MODEL))
    return driver


class TestStanding:
    def test_before_the_first_commit_there_is_no_model(self) -> None:
        assert standing_of(Driver("ab").started().state) == CommittedStanding(
            -1, None, None, None, False, ("a", "b"), {}
        )

    def test_the_plans_model_is_the_initial_one_until_the_first_commit(self) -> None:
        driver = Driver("a", initial_model="m.safetensors").started()
        before = standing_of(driver.state)
        driver.do(Commit(0, MODEL))
        after = standing_of(driver.state)

        assert (before.model, before.initial) == (None, ModelRef("1" * 64))
        assert (after.model, after.initial) == (MODEL, None)

    def test_it_is_that_of_the_last_commit(self) -> None:
        driver = Driver("ab").in_round()
        driver.do(Commit(1, NEXT_MODEL, state=UPDATE))
        driver.do(Leave("b", "it was revoked"))

        assert standing_of(driver.state) == CommittedStanding(1, NEXT_MODEL, None, UPDATE, False, ("a",), {})


class TestRequests:
    @pytest.mark.parametrize(
        ("task", "round_number", "individually", "error", "problem"),
        [
            ("train", 1, True, DisclosureError, "only in aggregate over the cohort"),
            ("segment", 1, True, WorkflowError, "no task 'segment'; it has: train, evaluate"),
            (INITIALISE, 1, True, DisclosureError, "before the first round only"),
            (INITIALISE, 1, False, DisclosureError, "before the first round only"),
        ],
    )
    def test_what_the_plan_does_not_permit_is_refused(
        self, task: str, round_number: int, individually: bool, error: type[Exception], problem: str
    ) -> None:
        with pytest.raises(error, match=problem):
            check_asked(IN_AGGREGATE, task, round_number, individually=individually)

    @pytest.mark.parametrize(
        ("task", "round_number", "individually"),
        [("train", 1, False), ("evaluate", 1, True), (INITIALISE, 0, True)],
    )
    def test_what_it_permits_is_not(self, task: str, round_number: int, individually: bool) -> None:
        check_asked(IN_AGGREGATE, task, round_number, individually=individually)


class TestStreams:
    def test_a_stream_starts_from_the_committed_model(self) -> None:
        assert stream_model(streaming().state) == MODEL
        with pytest.raises(WorkflowError, match="begins after the first model"):
            stream_model(Driver("a").started().state)

    def test_the_next_update_is_the_first_that_was_accepted_of_those_not_taken(self) -> None:
        driver = streaming()
        driver.do(AcceptResult(3, "c", 5, {}, UPDATE), after_s=1)
        driver.do(AcceptResult(1, "a", 5, {}, UPDATE), after_s=1)

        def ready(*taken: int) -> int | None:
            found = next_ready(driver.state, {*taken})
            return None if found is None else found.number

        assert [ready(), ready(3), ready(3, 1)] == [3, 1, None]

    def test_the_rounds_since_an_updates_model_are_counted(self) -> None:
        driver = streaming()
        exchange = driver.state.exchanges[1]
        assert staleness(driver.state, exchange) == 0

        driver.do(Commit(1, NEXT_MODEL))
        assert staleness(driver.state, exchange) == 1

    def test_an_exchange_that_closed_without_an_answer_is_dead(self) -> None:
        driver = streaming()
        driver.do(FailTask(2, "b", "out of memory"))
        driver.do(AcceptResult(3, "c", 5, {}, UPDATE))

        assert dead_exchanges(driver.state) == (2,)


MASK = {"w": np.array([0, -np.inf], np.float32)}


class TestModels:
    @pytest.mark.parametrize("before", [None, W])
    def test_a_model_like_the_one_before_may_be_committed(self, before: Parameters | None) -> None:
        check_model(IN_AGGREGATE, W, before)

    def test_a_first_model_has_no_tensor_that_stays_at_each_site(self) -> None:
        with pytest.raises(WorkflowError, match="the first model has the tensor 'w', which the plan keeps"):
            check_model(IN_AGGREGATE.model_copy(update={"personal": ("w*",)}), W, None)

    def test_infinities_of_the_first_model_may_stay(self) -> None:
        check_model(IN_AGGREGATE, MASK, None)
        check_model(IN_AGGREGATE, {"w": np.array([5, -np.inf], np.float32)}, MASK)

    @pytest.mark.parametrize(
        ("model", "before", "problem"),
        [
            ({"w": np.ones(3, np.float32)}, W, "not like the model before it: tensor 'w' has shape"),
            ({"w": np.array([0, np.inf], np.float32)}, W, "a NaN or an infinity in tensor 'w'"),
            ({"w": np.array([-np.inf, 0], np.float32)}, MASK, "a NaN or an infinity in tensor 'w'"),
            ({"w": np.array([0, np.inf], np.float32)}, MASK, "a NaN or an infinity in tensor 'w'"),
            ({"w": np.array([0, np.nan], np.float32)}, None, "the first model has a NaN in tensor 'w'"),
        ],
    )
    def test_another_one_may_not(self, model: Any, before: Any, problem: str) -> None:
        with pytest.raises(WorkflowError, match=problem):
            check_model(IN_AGGREGATE, model, before)


def test_an_answer_is_there_for_a_site_that_gave_one_only() -> None:
    driver = streaming()
    driver.do(AcceptResult(1, "a", 5, {"loss": 0.5}, UPDATE))

    assert accepted_result(driver.state.exchanges[1], "a").num_examples == 5
    with pytest.raises(RunError, match="b has not answered exchange 2"):
        accepted_result(driver.state.exchanges[2], "b")
