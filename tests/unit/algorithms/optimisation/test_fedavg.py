"""Federated averaging."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.workflow.hosts import INDIVIDUAL, ScriptedHost

from hanse.algorithms.optimisation.fedavg import fedavg
from hanse.core.values.update import Aggregate, Update
from hanse.errors import WorkflowError
from hanse.workflow.base import Request
from hanse.workflow.federation import Federation


class TestFedavg:
    def test_the_mean_update_is_added_in_each_round(self) -> None:
        host = ScriptedHost(committed=0)

        fedavg(Federation(host))

        assert [np.asarray(commit.model["w"])[0] for commit in host.commits] == [2.0, 4.0]

    def test_the_new_model_is_evaluated_and_its_metrics_stand_first(self) -> None:
        host = ScriptedHost(committed=0, rounds=1)

        def answer(request: Request) -> tuple[Update, ...]:
            delta = {"w": np.ones(2, np.float32)}
            if request.task == "train":
                return (Update("a", 1, {"loss": 9.0, "seconds": 2.0}, delta),)
            return (Update("a", 1, {"loss": 0.25}),)

        host.answer = answer
        fedavg(Federation(host))

        assert host.commits[0].metrics == {"loss": 0.25, "seconds": 2.0}
        assert host.asked[1].model is not None
        assert np.asarray(host.asked[1].model["w"])[0] == 1.0

    def test_a_plan_without_evaluation_is_not_evaluated(self) -> None:
        host = ScriptedHost(committed=0, rounds=1, tasks={"train": {"discloses": INDIVIDUAL}})

        fedavg(Federation(host))

        assert [request.task for request in host.asked] == ["train"]

    def test_the_server_optimizers_state_is_kept_with_the_model(self) -> None:
        adam = {"server_optimizer": {"name": "adam", "lr": 0.1}}
        host = ScriptedHost(committed=0, aggregation=adam)

        fedavg(Federation(host))

        assert host.commits[0].state.keys() == {"m/w", "v/w"}
        assert not np.array_equal(host.commits[0].state["m/w"], host.commits[1].state["m/w"])

    def test_a_train_task_that_sends_no_update_is_told_as_such(self) -> None:
        host = ScriptedHost(committed=0)
        host.sum = lambda request: Aggregate(1, {}, None, ("a",))  # type: ignore[method-assign]

        with pytest.raises(WorkflowError, match="to disclose an update"):
            fedavg(Federation(host))
