"""FedDyn: dynamic regularisation (Acar et al. 2021, ICLR, arXiv 2111.04263, Algorithm 1).

Each site adds a linear and a quadratic term to its loss (the local rule `dynamic`). With P the sites of a
round and m of them in all, the server keeps h, at first 0:

    h = h - alpha / m  S over P of (w_k - w)
    w = mean over P of w_k - h / alpha

Sites count alike in both. Tensors that no gradient trains (`untrained` of `aggregation`), such as the running
statistics of batch normalisation, have no part in h: they become the mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.evaluation.scores import metrics_of, scores
from hanse.algorithms.optimisation.server_step import delta_of
from hanse.core.plan.local_rules import Dynamic
from hanse.core.values.groups import zeros_like
from hanse.core.values.parameters import Array, Parameters, add, personal_names
from hanse.errors import WorkflowError
from hanse.workflow.federation import Federation

NAME = "feddyn"
HISTORY = "history"


class FedDynSettings(Settings):
    """Settings of FedDyn."""

    alpha: float = Field(gt=0, description="Strength of the regularisation; the paper takes 0.001 to 0.1.")


def feddyn(federation: Federation) -> None:
    """Dynamic regularisation (Acar et al. 2021, Algorithm 1)."""
    rules = federation.plan.tasks["train"].local
    alpha = next((rule.alpha for rule in rules if isinstance(rule, Dynamic)), None)
    if alpha is None:
        raise WorkflowError(f"workflow {NAME} needs the local rule `dynamic` in task `train`")
    untrained = federation.plan.aggregation.untrained
    for round in federation.rounds():
        update = round.sum("train")
        kept = round.state.get(HISTORY)
        before = kept if isinstance(kept, Mapping) else first_history(round.model, untrained)
        share = len(update.sites) / len(round.population)
        model, history = stepped(round.model, delta_of(update, NAME), before, alpha, share)
        metrics = {**metrics_of(round.plan, update), **scores(round, model)}
        round.commit(model, metrics, {HISTORY: history})


def first_history(model: Parameters, untrained: Collection[str]) -> dict[str, Array]:
    """The first h: zeros, of the tensors of real numbers that no pattern of `untrained` fits."""
    passed = personal_names(model, untrained)
    return {name: zero for name, zero in zeros_like(model).items() if name not in passed}


def stepped(
    model: Parameters, delta: Parameters, history: Parameters, alpha: float, share: float
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The next model and the next h.

    Args:
        model: The model that the sites trained from.
        delta: Mean of their changes, in which they count alike.
        history: The server's h; tensors that it lacks become the mean.
        alpha: Strength of the regularisation.
        share: Part of all sites that took part.
    """
    after = {**history}
    change = {name: np.asarray(array) for name, array in delta.items()}
    for name in change:
        if name in history:
            wide = change[name].astype(np.float64)
            after[name] = np.asarray(history[name] - alpha * share * wide)
            change[name] = wide - after[name] / alpha
    return add(model, change), after


def _keys(settings: FedDynSettings) -> Keys:
    rule = {"name": "dynamic", "alpha": settings.alpha}
    return {
        "workflow": NAME,
        "aggregation": {"rule": "mean"},
        "tasks": {"train": {"local": [rule]}},
    }


FEDDYN = Algorithm(
    name=NAME,
    field="optimisation",
    paper="Acar et al. 2021, arXiv 2111.04263, Algorithm 1",
    travels="As FedAvg.",
    sums_suffice=True,
    stays="The data; the gradient that the site's last model ended with.",
    settings=FedDynSettings,
    keys=_keys,
    changes=("train",),
)
