"""Aggregation: the part of a plan that says how updates become one model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hanse.core.plan.section import PlanSection


class ServerOptimizer(PlanSection):
    """Optimiser at the aggregator (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2)."""

    name: Literal["sgd", "adagrad", "adam", "yogi"] = Field(description="Which one.")
    lr: float = Field(1.0, gt=0, description="Server learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of `sgd`.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment (`adam`, `yogi`).")
    tau: float = Field(1e-8, gt=0, description="Degree of adaptivity.")


class Aggregation(PlanSection):
    """How updates become one model."""

    rule: Literal["weighted_mean", "mean", "median", "trimmed_mean"] = Field(
        "weighted_mean",
        description="`weighted_mean` weighs by number of examples (McMahan et al. 2017), the others weigh "
        "alike all updates that were made from any example. `median` and `trimmed_mean` are taken number by "
        "number, and a few bad updates cannot move them far (Yin et al. 2018, arXiv 1803.01498).",
    )
    trim: float | None = Field(
        None,
        ge=0,
        lt=0.5,
        description="Of `trimmed_mean`: part of the updates whose values are left out at each end, rounded "
        "down to whole updates; at 0.1, fewer than 10 updates leave none out.",
    )
    server_optimizer: ServerOptimizer | None = Field(
        None, description="Takes the mean update as a gradient; unset: it is added as it is."
    )

    @model_validator(mode="after")
    def _trim_of_its_rule(self) -> Self:
        if (self.rule == "trimmed_mean") != (self.trim is not None):
            raise ValueError("`trim` and `rule: trimmed_mean` go together: `{rule: trimmed_mean, trim: 0.1}`")
        return self

    @property
    def needs(self) -> Literal["sums", "individual updates"]:
        """What whoever aggregates has to see: a sum can be made of masked updates, an order cannot."""
        return "individual updates" if self.rule in ("median", "trimmed_mean") else "sums"
