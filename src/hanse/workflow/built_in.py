"""The workflows that a plan can name without bringing code."""

from __future__ import annotations

from collections.abc import Callable

from hanse.aggregation.registry import server_optimizer
from hanse.core.parameters import Parameters
from hanse.errors import WorkflowError
from hanse.workflow.averages import mean_metrics
from hanse.workflow.federation import Federation, Round

Workflow = Callable[[Federation], None]


def fedavg(federation: Federation) -> None:
    """Federated averaging (McMahan et al. 2017, arXiv 1602.05629, Algorithm 1).

    Trains at the cohort, adds the mean update through the plan's server
    optimiser, evaluates the new model where the plan has a task `evaluate`,
    and commits. Metrics of `evaluate` stand before those of `train` with the same name.
    """
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        update = round.sum("train")
        if update.delta is None:
            raise WorkflowError("workflow fedavg needs task `train` to disclose an update")
        model, state = optimizer.step(round.model, update.delta, round.state)
        round.commit(model, metrics={**update.metrics, **_scores(round, model)}, state=state)


def evaluate(federation: Federation) -> None:
    """Federated evaluation: measure the plan's `initial_model` at every site, changing nothing."""
    for round in federation.rounds():
        round.commit(round.model, metrics=mean_metrics(round.ask("evaluate")))


BUILT_IN: dict[str, Workflow] = {"fedavg": fedavg, "evaluate": evaluate}
"""Workflow by the name that a plan gives it."""


def _scores(round: Round, model: Parameters) -> dict[str, float]:
    if "evaluate" not in round.plan.tasks:
        return {}
    return mean_metrics(round.ask("evaluate", model))
