"""The metrics of a new model at the sites, where the plan has a task that measures them."""

from __future__ import annotations

from hanse.core.values.parameters import Parameters
from hanse.workflow.averages import mean_metrics
from hanse.workflow.federation import Round


def scores(round: Round, model: Parameters) -> dict[str, float]:
    """Mean metrics of the plan's task `evaluate` on a model; empty where the plan has no such task."""
    if "evaluate" not in round.plan.tasks:
        return {}
    return mean_metrics(round.ask("evaluate", model))
