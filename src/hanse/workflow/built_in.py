"""The workflows that a plan can name without bringing code."""

from __future__ import annotations

from collections.abc import Callable

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.fedopt import FedSgd
from hanse.aggregation.registry import server_optimizer
from hanse.core.values.groups import Groups, arrays_of
from hanse.core.values.parameters import Parameters, lazy_add
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
        _average(round, optimizer)


def evaluate(federation: Federation) -> None:
    """Federated evaluation: measure the plan's `initial_model` at every site, changing nothing."""
    for round in federation.rounds():
        round.commit(round.model, metrics=mean_metrics(round.ask("evaluate")))


BUILT_IN: dict[str, Workflow] = {"fedavg": fedavg, "evaluate": evaluate}
"""Workflow by the name that a plan gives it."""


def _average(round: Round, optimizer: ServerOptimizer) -> None:
    # A function of its own: what a round has read is let go of before the next one begins.
    update = round.sum("train")
    if update.delta is None:
        raise WorkflowError("workflow fedavg needs task `train` to disclose an update")
    model: Parameters
    state: Groups
    if optimizer == FedSgd():
        # What it would make, but on the way to the file: a model more in memory is dear.
        model, state = lazy_add(round.model, update.delta), dict(round.state)
    else:
        model, state = optimizer.step(round.model, update.delta, arrays_of(round.state))
    round.commit(model, metrics={**update.metrics, **_scores(round, model)}, state=state)


def _scores(round: Round, model: Parameters) -> dict[str, float]:
    if "evaluate" not in round.plan.tasks:
        return {}
    return mean_metrics(round.ask("evaluate", model))
