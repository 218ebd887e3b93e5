"""Metrics of a model at the sites, where the plan has a task that measures them."""

from __future__ import annotations

import numpy as np

from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Aggregate
from hanse.workflow.averages import mean_metrics
from hanse.workflow.federation import Round
from hanse.workflow.pooled import pooled_metrics

TASK = "evaluate"


def scores(round: Round, model: Parameters, groups: Groups | None = None) -> dict[str, float]:
    """Metrics of the plan's task `evaluate` on a model; empty where the plan has no such task.

    Args:
        round: The round.
        model: What is measured.
        groups: Groups that the workflow has for its tasks; `evaluate` is sent those that it receives.

    Returns:
        The mean of each metric; of binned scores, the metrics of all sites' examples together.
    """
    if TASK not in round.plan.tasks:
        return {}
    task = round.plan.tasks[TASK]
    sent = {name: group for name, group in (groups or {}).items() if name in task.receives}
    return mean_scores(round, TASK, model, sent)


def mean_scores(round: Round, task: str, model: Parameters, groups: Groups | None = None) -> dict[str, float]:
    """As `scores`, of any task; where the plan has its metrics summed, no site's own are asked for.

    Args:
        round: The round.
        task: A task of the plan.
        model: What is measured.
        groups: The groups that the task receives.
    """
    plan = round.plan
    if plan.tasks[task].discloses.in_sums or masks(plan, task):
        return metrics_of(plan, round.sum(task, model, groups=groups))
    return mean_metrics(round.ask(task, model, groups=groups))


def metrics_of(plan: Plan, answer: Aggregate) -> dict[str, float]:
    """The metrics of an answer, and those of each group of binned scores."""
    metrics = dict(answer.metrics)
    for name, group in answer.groups.items():
        if plan.group_specs[name].pooled:
            metrics |= pooled_metrics(name, np.asarray(group))
    return metrics
