"""FedBuff: buffered asynchronous aggregation (Nguyen et al. 2022, AISTATS, arXiv 2106.06639).

Sites train all the time. Every `buffer` updates become one step of the model (Algorithm 1):

    D = sum over the buffer of s(staleness) delta,   s(t) = 1 / sqrt(1 + t)
    model = model + lr D / buffer

Tensors that no gradient trains, such as the running statistics of batch normalisation, get the plain mean of
the changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from pydantic import Field

from hanse.algorithms.base import Algorithm, Keys, Settings
from hanse.algorithms.optimisation.server_step import with_variances
from hanse.core.values.parameters import Parameters, add, is_floating, personal_names
from hanse.core.values.update import Update
from hanse.workflow.averages import mean_metrics
from hanse.workflow.federation import Federation

NAME = "fedbuff"


class FedBuffSettings(Settings):
    """Settings of FedBuff."""

    buffer: int = Field(10, ge=1, le=100_000, description="Updates in one step of the model (K).")
    lr: float = Field(1.0, gt=0, description="Server learning rate.")
    exchanges: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Most updates of one site in one step of the model, on average over the run; unset: "
        "one more than `buffer`, which a single site could fill.",
    )


def fedbuff(federation: Federation) -> None:
    """Buffered asynchronous aggregation; a round of the plan is one step of the model."""
    settings = FedBuffSettings.model_validate(federation.options.get(NAME, {}))
    held: list[Update] = []
    for update in federation.stream("train"):
        held.append(update)
        if len(held) == settings.buffer:
            model = step(federation.model, held, settings.lr, federation.plan.aggregation.untrained)
            federation.commit(model, metrics=mean_metrics(held))
            held = []


def step(
    model: Parameters, buffer: Sequence[Update], lr: float, untrained: Collection[str] = ()
) -> Parameters:
    """One step of the model.

    Args:
        model: The model before.
        buffer: The updates, in the order in which they came; at least one.
        lr: Server learning rate, above 0.
        untrained: Patterns of the tensors that no gradient trains.

    Returns:
        The model with the updates added, each weighted down by its staleness. The sum is taken in float64.
        Tensors that are not of real numbers, or that no gradient trains, get the plain mean of the updates.

    Raises:
        WorkflowError: A running variance would be below zero: changes from an older model came to more than
            what is left of it.
    """
    change, passed = {}, personal_names(model, untrained)
    for name in buffer[0].delta or {}:
        floating = is_floating(model[name].dtype) and name not in passed
        total = np.zeros(model[name].shape, np.float64)
        for update in buffer:
            weight = 1 / math.sqrt(1 + update.staleness) if floating else 1.0
            total += weight * (update.delta or {})[name].astype(np.float64)
        change[name] = total * ((lr if floating else 1.0) / len(buffer))
    return with_variances(add(model, change))


def _keys(settings: FedBuffSettings) -> Keys:
    return {
        "workflow": NAME,
        "options": {NAME: settings.model_dump(exclude={"exchanges"})},
        "tasks": {"train": {"exchanges": settings.exchanges or settings.buffer + 1}},
    }


FEDBUFF = Algorithm(
    name=NAME,
    field="optimisation",
    paper="Nguyen et al. 2022, arXiv 2106.06639, Algorithm 1",
    travels="The newest model to each site; the change of the model by training from each site, its own.",
    sums_suffice=False,
    stays="The data.",
    settings=FedBuffSettings,
    keys=_keys,
    changes=("train",),
)
