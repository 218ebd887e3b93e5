"""Federated evaluation."""

from __future__ import annotations

from tests.unit.workflow.hosts import MODEL, ScriptedHost

from hanse.algorithms.evaluation.evaluate import evaluate
from hanse.core.values.update import Update
from hanse.workflow.federation import Federation


class TestEvaluate:
    def test_the_plans_model_is_measured_and_stays_as_it_is(self) -> None:
        host = ScriptedHost(rounds=1)
        host.initial = MODEL
        host.answer = lambda request: (Update("a", 1, {"loss": 1.0}), Update("b", 3, {"loss": 5.0}))

        evaluate(Federation(host))

        assert [commit.metrics for commit in host.commits] == [{}, {"loss": 4.0}]
        assert host.commits[1].model is MODEL
