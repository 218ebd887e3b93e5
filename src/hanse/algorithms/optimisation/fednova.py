"""FedNova: normalised averaging (Wang et al. 2020, NeurIPS, arXiv 2007.07481).

Sites do different numbers of steps tau_i; each divides its change of the model by its own (the local rule
`normalise`, which gives tau_i as the group `steps`). With p_i the share of a site's examples,

    x = x + tau_eff S p_i (y_i - x) / tau_i,   tau_eff = S p_i tau_i         (equation 8)

With momentum, tau_i is the norm of the vector a_i of section 4. Tensors that no gradient trains, such as the
running statistics of batch normalisation, are neither divided nor multiplied: they become the mean.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from pydantic import Field

from hanse.aggregation.registry import server_optimizer
from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of, stepped
from hanse.core.values.lazy import materialize
from hanse.core.values.parameters import Parameters, is_floating, personal_names
from hanse.workflow.federation import Federation

NAME = "fednova"
STEPS = "steps"


class FedNovaSettings(Settings):
    """Settings of FedNova."""

    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of the sites' optimiser.")


def fednova(federation: Federation) -> None:
    """Normalised averaging (Wang et al. 2020)."""
    optimizer = server_optimizer(federation.plan.aggregation)
    for round in federation.rounds():
        update = round.sum("train")
        delta = scaled(
            delta_of(update, NAME),
            float(np.asarray(update.groups[STEPS])),
            federation.plan.aggregation.untrained,
        )
        model, state = stepped(round, delta, optimizer)
        round.commit(model, {**metrics_of(round.plan, update), **scores(round, model)}, state)


def scaled(delta: Parameters, factor: float, untrained: Collection[str]) -> Parameters:
    """An update times a factor, in float64; tensors that are not of real numbers, or not trained, stay."""
    passed = personal_names(delta, untrained)
    return {
        name: change.astype(np.float64) * factor
        if is_floating(change.dtype) and name not in passed
        else change
        for name, change in materialize(delta).items()
    }


def _keys(settings: FedNovaSettings) -> Keys:
    rule = {"name": "normalise", **({"momentum": settings.momentum} if settings.momentum else {})}
    train = {"local": [rule], "discloses": {"groups": {STEPS: "weighted_mean"}}}
    return {
        "workflow": NAME,
        "aggregation": {"rule": "weighted_mean"},  # as the steps
        "groups": {STEPS: {"float64": []}},
        "tasks": {"train": train},
    }


FEDNOVA = Algorithm(
    name=NAME,
    field="optimisation",
    paper="Wang et al. 2020, arXiv 2007.07481, equation 8",
    travels="The model to the sites; its change divided by the number of steps, and that number, from each "
    "site.",
    sums_suffice=True,
    stays="The data.",
    settings=FedNovaSettings,
    keys=_keys,
    changes=("train",),
)
