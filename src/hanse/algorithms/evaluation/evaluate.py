"""Federated evaluation: the plan's model measured at every site."""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import scores
from hanse.workflow.federation import Federation


def evaluate(federation: Federation) -> None:
    """Federated evaluation: measure the plan's `initial_model` at every site, changing nothing."""
    for round in federation.rounds():
        round.commit(round.model, metrics=scores(round, round.model))


def _keys(_: Settings) -> Keys:
    return {"workflow": "evaluate", "rounds": 1}


EVALUATE = Algorithm(
    name="evaluate",
    field="evaluation",
    paper="Wang et al. 2019, arXiv 1910.10252",
    travels="The model to the sites; the metrics of each site.",
    sums_suffice=True,
    stays="The data, and what the model predicts of each example.",
    settings=Settings,
    keys=_keys,
)
