"""Federated averaging (McMahan et al. 2017, arXiv 1602.05629).

Each site trains the model on its data; the new model is the mean of the sites' models, weighted by
number of examples (Algorithm 1, last line of `ServerExecutes`).
"""

from __future__ import annotations

from hanse.aggregation.base import ServerOptimizer
from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.workflow.federation import Federation, Round


def fedavg(federation: Federation) -> None:
    """Federated averaging (McMahan et al. 2017, arXiv 1602.05629, Algorithm 1).

    Trains at the cohort, adds the mean update through the plan's server
    optimiser, evaluates the new model where the plan has a task `evaluate`,
    and commits. Metrics of `evaluate` stand before those of `train` with the same name.
    """
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        _average(round, optimizer)


def _average(round: Round, optimizer: ServerOptimizer) -> None:
    # A function of its own: what a round has read is let go of before the next one begins.
    update = round.sum("train")
    model, state = stepped(round, delta_of(update, "fedavg"), optimizer)
    round.commit(model, metrics={**metrics_of(round.plan, update), **scores(round, model)}, state=state)


def _keys(_: Settings) -> Keys:
    return {"workflow": "fedavg"}


FEDAVG = Algorithm(
    name="fedavg",
    field="optimisation",
    paper="McMahan et al. 2017, arXiv 1602.05629, Algorithm 1",
    travels="The model to the sites; the change of the model by training from each site.",
    sums_suffice=True,
    stays="The data.",
    settings=Settings,
    keys=_keys,
)
