"""Ditto: a model of its own at each site, held near the common one (Li et al. 2021, ICML, arXiv 2012.04221).

The common model is federated averaging. Each site also has a model v_i, which it trains with the gradient of
its loss plus lambda (v_i - w), w the common model of the round (Algorithm 1): the task `personalise`,
with the local rule `proximal`. A learner's `personalise` starts from the model that it kept.
"""

from __future__ import annotations

from pydantic import Field

from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import mean_scores, metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.core.plan.built_in import BUILT_IN
from hanse.core.values.schema import Label
from hanse.workflow.federation import Federation

NAME = "ditto"
TASK = "personalise"
PREFIX = BUILT_IN[NAME].prefixes[TASK]


class DittoSettings(Settings):
    """Settings of Ditto."""

    mu: float = Field(ge=0, description="Weight of the distance from the common model (lambda).")
    metrics: tuple[Label, ...] = Field(
        ("loss",),
        max_length=100,
        description="Metrics of its own model that each site reports, beside those of `evaluate`.",
    )


def ditto(federation: Federation) -> None:
    """Federated averaging, and a model of its own at each site (Li et al. 2021, Algorithm 1)."""
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        common = round.model
        update = round.sum("train")
        own = mean_scores(round, TASK, common)
        model, state = stepped(round, delta_of(update, NAME), optimizer)
        personal = {f"{PREFIX}{name}": value for name, value in own.items()}
        round.commit(model, {**metrics_of(round.plan, update), **scores(round, model), **personal}, state)


def _keys(settings: DittoSettings) -> Keys:
    own = {
        "local": [{"name": "proximal", "mu": settings.mu}],
        "discloses": {"metrics": list(settings.metrics)},
    }
    return {"workflow": NAME, "tasks": {TASK: own}}


DITTO = Algorithm(
    name=NAME,
    field="personalisation",
    paper="Li et al. 2021, arXiv 2012.04221, Algorithm 1",
    travels="As FedAvg; metrics of the sites' own models.",
    sums_suffice=True,
    stays="The data; the site's own model.",
    settings=DittoSettings,
    keys=_keys,
    changes=("train",),
    measures=(TASK,),
)
