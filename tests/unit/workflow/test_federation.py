"""What a workflow holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.workflow.hosts import AGGREGATE, MODEL, ScriptedHost, update

from hanse.core.values.update import Update
from hanse.errors import DisclosureError, WorkflowError
from hanse.workflow.base import Request, Standing
from hanse.workflow.federation import Federation

IN_AGGREGATE = {"train": {"discloses": AGGREGATE}}


def first_models(**given: Update | None) -> ScriptedHost:
    """A host without a model, whose sites give these first models or none."""
    host = ScriptedHost()

    def answer(request: Request) -> tuple[Update, ...]:
        assert request.sites is not None
        found = given[request.sites[0]]
        return () if found is None else (found,)

    host.answer, host.population = answer, tuple(given)
    return host


class LeftBy:
    """A host whose standing lacks a site that was there when the open round began."""

    def __init__(self, site: str, host: ScriptedHost) -> None:
        self._site, self._host = site, host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def standing(self) -> Standing:
        standing = self._host.standing()
        return replace(standing, population=tuple(s for s in standing.population if s != self._site))


class TestFirstModel:
    def test_it_is_asked_of_the_first_site_and_committed_as_round_0(self) -> None:
        host = first_models(a=update("a", 7.0), b=update("b", 8.0))

        federation = Federation(host)

        assert federation.model["w"][0] == 7.0
        assert federation.round_number == 0
        assert [(r.task, r.index, r.sites, r.model) for r in host.asked] == [("initialise", 0, ("a",), None)]

    def test_the_next_site_is_asked_where_one_cannot(self) -> None:
        host = first_models(a=None, b=update("b", 8.0))

        assert Federation(host).model["w"][0] == 8.0
        assert [(r.index, r.sites) for r in host.asked] == [(0, ("a",)), (1, ("b",))]

    def test_a_workflow_that_begins_again_asks_the_same_though_a_site_has_left(self) -> None:
        host = first_models(a=None, b=update("b", 8.0))
        federation = Federation(LeftBy("a", host))  # type: ignore[arg-type]

        assert federation.model["w"][0] == 8.0
        assert [(r.index, r.sites) for r in host.asked] == [(0, ("a",)), (1, ("b",))]

    def test_a_plan_with_a_model_asks_nobody(self) -> None:
        host = ScriptedHost()
        host.initial = MODEL

        assert Federation(host).model is MODEL
        assert (host.asked, host.opened) == ([], [])

    def test_without_any_the_sites_that_were_asked_are_named(self) -> None:
        with pytest.raises(WorkflowError, match="none of a, b could give a first model"):
            _ = Federation(first_models(a=None, b=None)).model


class TestRounds:
    def test_they_begin_after_the_last_committed_one(self) -> None:
        host = ScriptedHost(committed=1, rounds=3)

        for round in Federation(host).rounds():
            round.commit(round.model)

        assert [commit.round_number for commit in host.commits] == [2, 3]
        assert host.opened == [2, 3]

    def test_to_ask_begins_one_without_a_question_for_its_cohort(self) -> None:
        host = ScriptedHost(committed=0, rounds=1)

        for round in Federation(host).rounds():
            round.commit(round.apply(round.sum("train")))

        assert host.opened == []

    def test_its_cohort_is_asked_for_once(self) -> None:
        host = ScriptedHost(committed=0)
        first = next(Federation(host).rounds())

        assert (first.cohort, first.cohort) == (("a", "b"), ("a", "b"))
        assert host.opened == [1]

    def test_there_are_none_in_a_run_that_is_complete(self) -> None:
        assert list(Federation(ScriptedHost(committed=2)).rounds()) == []

    def test_a_round_has_to_be_committed(self) -> None:
        rounds = Federation(ScriptedHost(committed=0)).rounds()
        next(rounds)

        with pytest.raises(WorkflowError, match="round 1 ended without a commit"):
            next(rounds)

    def test_the_model_and_state_of_the_last_commit_are_the_next_rounds(self) -> None:
        rounds = Federation(ScriptedHost(committed=0)).rounds()
        next(rounds).commit({"w": np.ones(2, np.float32)}, state={"m": np.ones(1)})

        second = next(rounds)

        assert second.model["w"][0] == 1.0
        assert second.state["m"][0] == 1.0

    def test_chance_is_the_same_when_a_round_is_done_again(self) -> None:
        draws = [next(Federation(ScriptedHost(committed=0)).rounds()).random.random() for _ in range(2)]

        assert draws[0] == draws[1]

    def test_chance_differs_between_rounds(self) -> None:
        rounds = Federation(ScriptedHost(committed=0)).rounds()
        first = next(rounds)
        first.commit(first.model)

        assert first.random.random() != next(rounds).random.random()


class TestAsking:
    def test_requests_are_numbered_within_their_round(self) -> None:
        host = ScriptedHost(committed=0)
        for round in Federation(host).rounds():
            round.ask("train")
            round.sum("train")
            round.commit(round.model)

        assert [(r.round_number, r.index) for r in host.asked] == [(1, 0), (1, 1), (2, 0), (2, 1)]

    def test_the_rounds_model_is_sent_itself_unless_another_is_given(self) -> None:
        host = ScriptedHost(committed=0)
        round = next(Federation(host).rounds())
        other = {"w": np.ones(2, np.float32)}

        round.ask("train")
        round.ask("evaluate", other)

        assert host.asked[0].model is round.model
        assert host.asked[1].model is other

    def test_sites_are_asked_once_each_in_site_order(self) -> None:
        host = ScriptedHost(committed=0)

        next(Federation(host).rounds()).ask("train", sites=["b", "a", "b"])

        assert host.asked[0].sites == ("a", "b")

    def test_updates_that_are_disclosed_in_aggregate_only_are_not_to_be_had(self) -> None:
        round = next(Federation(ScriptedHost(committed=0, tasks=IN_AGGREGATE)).rounds())

        with pytest.raises(DisclosureError, match="only in aggregate"):
            round.ask("train")

    def test_a_sum_over_chosen_sites_is_no_way_around_that(self) -> None:
        round = next(Federation(ScriptedHost(committed=0, tasks=IN_AGGREGATE)).rounds())

        with pytest.raises(DisclosureError, match="only in aggregate"):
            round.sum("train", sites=["a"])

    def test_a_sum_over_the_cohort_is_there_for_every_disclosure(self) -> None:
        for tasks in (IN_AGGREGATE, {"train": {"discloses": {"update": "individual"}}}):
            round = next(Federation(ScriptedHost(committed=0, tasks=tasks)).rounds())

            assert round.apply(round.sum("train"))["w"][0] == 2.0

    def test_an_unknown_task_is_told_with_those_there_are(self) -> None:
        with pytest.raises(WorkflowError, match="no task 'segment'; it has: train, evaluate"):
            next(Federation(ScriptedHost(committed=0)).rounds()).ask("segment")


class TestCommits:
    def test_numbers_of_every_kind_become_floats(self) -> None:
        host = ScriptedHost(committed=0)
        metrics = {"loss": np.float32(0.5), "sites": 3, "accuracy": np.array(0.25), "done": np.bool_(True)}

        next(Federation(host).rounds()).commit(MODEL, metrics=metrics)

        assert host.commits[0].metrics == {"loss": 0.5, "sites": 3.0, "accuracy": 0.25, "done": 1.0}
        assert all(type(value) is float for value in host.commits[0].metrics.values())

    def test_a_model_of_something_else_than_arrays_is_refused(self) -> None:
        with pytest.raises(WorkflowError, match="the model of round 1: parameter 'w' is a list"):
            next(Federation(ScriptedHost(committed=0)).rounds()).commit({"w": [1.0]})  # type: ignore[dict-item]

    def test_a_commit_outside_of_rounds_is_the_next_one(self) -> None:
        host = ScriptedHost(committed=0)

        Federation(host).commit(MODEL)

        assert host.commits[0].round_number == 1


class TestStreams:
    def streaming(self) -> ScriptedHost:
        host = ScriptedHost(committed=0)
        host.stream = {number: update("ab"[number % 2], float(number)) for number in range(1, 9)}
        return host

    def test_updates_come_one_by_one_until_the_last_round_is_committed(self) -> None:
        host = self.streaming()
        federation = Federation(host)

        for number, _ in enumerate(federation.stream(), start=1):
            if number % 2 == 0:
                federation.commit(MODEL)

        assert [commit.consumed for commit in host.commits] == [(1, 2), (3, 4)]

    def test_updates_disclosed_in_aggregate_only_do_not_stream(self) -> None:
        with pytest.raises(DisclosureError, match="only in aggregate"):
            next(Federation(ScriptedHost(committed=0, tasks=IN_AGGREGATE)).stream())
