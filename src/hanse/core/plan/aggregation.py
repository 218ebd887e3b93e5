"""Aggregation: the part of a plan that says how updates become one model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hanse.core.plan.robust_rules import (
    BYZANTINE_WORDS,
    ITERATIONS,
    ITERATIONS_WORDS,
    KEEP,
    KEEP_WORDS,
    NORM_WORDS,
    RULES,
    SMOOTHING,
    SMOOTHING_WORDS,
    TRIM_WORDS,
    WEIGHTS,
    WEIGHTS_WORDS,
    AnyRobustRule,
    Weights,
)
from hanse.core.plan.section import PlanSection, new_since
from hanse.core.values.parameters import UNTRAINED
from hanse.core.values.schema import Pattern
from hanse.core.values.wording import named


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

    rule: Literal[
        "weighted_mean",
        "mean",
        "median",
        "trimmed_mean",
        "geometric_median",
        "krum",
        "norm_bounded_mean",
        "centred_clipping",
    ] = Field(
        "weighted_mean",
        description="`weighted_mean` weighs by number of examples (McMahan et al. 2017), `mean` weighs alike "
        "all updates that were made from any example. The others are robust: a few bad updates cannot move "
        "them far. `median` and `trimmed_mean` are taken number by number (Yin et al. 2018, arXiv "
        "1803.01498). `geometric_median` (Pillutla et al. 2022, arXiv 1912.13445), `krum` (Blanchard et al. "
        "2017, arXiv 1703.02757), `norm_bounded_mean` (Sun et al. 2019, arXiv 1911.07963) and "
        "`centred_clipping` (Karimireddy et al. 2021, arXiv 2012.10333) take all floating-point tensors of an"
        " update as one vector.",
    )
    trim: float | None = Field(None, ge=0, lt=0.5, description=TRIM_WORDS)
    byzantine: int | None = Field(
        None, ge=0, le=1_000_000, description=BYZANTINE_WORDS, json_schema_extra=new_since("0.2")
    )
    keep: int = Field(KEEP, ge=1, le=1_000_000, description=KEEP_WORDS, json_schema_extra=new_since("0.2"))
    norm: float | None = Field(None, gt=0, description=NORM_WORDS, json_schema_extra=new_since("0.2"))
    iterations: int = Field(
        ITERATIONS, ge=1, le=1_000, description=ITERATIONS_WORDS, json_schema_extra=new_since("0.2")
    )
    smoothing: float = Field(SMOOTHING, gt=0, description=SMOOTHING_WORDS, json_schema_extra=new_since("0.2"))
    weights: Weights = Field(WEIGHTS, description=WEIGHTS_WORDS, json_schema_extra=new_since("0.2"))
    server_optimizer: ServerOptimizer | None = Field(
        None, description="Takes the mean update as a gradient; unset: it is added as it is."
    )

    untrained: tuple[Pattern, ...] = Field(
        UNTRAINED,
        max_length=1_000,
        description="Patterns of the tensors that no gradient trains, such as running statistics. They become"
        " the mean of the sites' as it is, whatever the algorithm and the server optimiser do to the others.",
        json_schema_extra=new_since("0.2"),
    )

    @model_validator(mode="after")
    def _settings_of_its_rule(self) -> Self:
        if (self.rule == "trimmed_mean") != (self.trim is not None):
            raise ValueError("`trim` and `rule: trimmed_mean` go together: `{rule: trimmed_mean, trim: 0.1}`")
        given = {name for name in self.model_fields_set & _SETTINGS if getattr(self, name) is not None}
        kind = RULES.get(self.rule)
        for name in sorted(given - set(kind.model_fields if kind else ())):
            rules = [rule for rule, each in RULES.items() if name in each.model_fields]
            raise ValueError(f"`{name}` is a setting of {named(rules)}, and the rule is {self.rule}")
        for name, field in kind.model_fields.items() if kind else ():
            if field.is_required() and name not in given:
                example = {"byzantine": 1, "norm": 10.0}[name]
                raise ValueError(
                    f"`rule: {self.rule}` needs `{name}`: `{{rule: {self.rule}, {name}: {example}}}`"
                )
        return self

    @property
    def robust(self) -> AnyRobustRule | None:
        """The rule with its own settings; None for a mean."""
        kind = RULES.get(self.rule)
        if kind is None:
            return None
        return kind.model_validate({name: getattr(self, name) for name in kind.model_fields})

    @property
    def needs(self) -> Literal["sums", "individual updates"]:
        """What whoever aggregates has to see: a sum can be made of masked updates, an order cannot."""
        rule = self.robust
        return "sums" if rule is None else rule.needs


_SETTINGS = frozenset(name for rule in RULES.values() for name in rule.model_fields) - {"rule"}
