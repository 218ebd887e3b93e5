"""Hanse: federated learning for sovereign sites.

The names below are what a data scientist's code uses. Each is imported when
it is first asked for, so that `import hanse` costs no more than it must.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.algorithms.personalisation.ifca import ifca_answer
    from hanse.algorithms.statistics.standardise import standardised
    from hanse.algorithms.table_learner import TableLearner
    from hanse.core.values.groups import zeros_like
    from hanse.core.values.parameters import add
    from hanse.core.values.score_histogram import binned_scores
    from hanse.core.values.site import Site
    from hanse.core.values.update import Aggregate, Task, TaskResult, Update
    from hanse.errors import HanseError
    from hanse.interactive.connect import connect
    from hanse.interactive.simulate import simulate
    from hanse.learners.base import Learner
    from hanse.learners.load import load
    from hanse.learners.script import rounds, site
    from hanse.workflow.averages import mean_metrics, weighted_mean
    from hanse.workflow.federation import Federation, Round
    from hanse.workflow.pooled import pooled_metrics

__version__ = "0.2.0.dev0"

_HOMES = {
    "Aggregate": "hanse.core.values.update",
    "Federation": "hanse.workflow.federation",
    "HanseError": "hanse.errors",
    "Learner": "hanse.learners.base",
    "Round": "hanse.workflow.federation",
    "Site": "hanse.core.values.site",
    "TableLearner": "hanse.algorithms.table_learner",
    "Task": "hanse.core.values.update",
    "TaskResult": "hanse.core.values.update",
    "Update": "hanse.core.values.update",
    "add": "hanse.core.values.parameters",
    "binned_scores": "hanse.core.values.score_histogram",
    "connect": "hanse.interactive.connect",
    "ifca_answer": "hanse.algorithms.personalisation.ifca",
    "load": "hanse.learners.load",
    "mean_metrics": "hanse.workflow.averages",
    "pooled_metrics": "hanse.workflow.pooled",
    "rounds": "hanse.learners.script",
    "simulate": "hanse.interactive.simulate",
    "site": "hanse.learners.script",
    "standardised": "hanse.algorithms.statistics.standardise",
    "weighted_mean": "hanse.workflow.averages",
    "zeros_like": "hanse.core.values.groups",
}

__all__ = [
    "Aggregate",
    "Federation",
    "HanseError",
    "Learner",
    "Round",
    "Site",
    "TableLearner",
    "Task",
    "TaskResult",
    "Update",
    "add",
    "binned_scores",
    "connect",
    "ifca_answer",
    "load",
    "mean_metrics",
    "pooled_metrics",
    "rounds",
    "simulate",
    "site",
    "standardised",
    "weighted_mean",
    "zeros_like",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hanse' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
