"""Secure aggregation in a plan: bounds of the numbers that are summed, and what a sum needs.

`docs/secure-aggregation.md` has the argument, decision 0041 the rules by which a plan is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hanse.core.plan.section import PlanSection
from hanse.core.values.schema import MAX_DURATION_S, Label, parse_duration


def _as_tuple(value: Any) -> Any:
    """A list as a tuple: where a plan is read strictly, sections further out give lists of Python."""
    return tuple(value) if isinstance(value, list) else value


NumberRange = Annotated[tuple[int | float, int | float], BeforeValidator(_as_tuple)]
"""Least and largest number."""
_IntegerRange = Annotated[tuple[int, int], BeforeValidator(_as_tuple)]

_Delay = Annotated[
    float,
    Field(ge=0, le=MAX_DURATION_S, json_schema_extra={"format": "duration"}),
    BeforeValidator(parse_duration),
]


class ModelBound(PlanSection):
    """Bound of a site's update, to which its agent clips it."""

    clip: float = Field(gt=0, description="C: largest length or number; what is larger is scaled or cut.")
    norm: Literal["l2", "max"] = Field(
        "l2",
        description="`l2`: the update as one vector is scaled down to the length C; `max`: each number is "
        "cut to [-C, C].",
    )
    integers: _IntegerRange | None = Field(
        None, description="Least and largest number in integer tensors of the update."
    )


class MetricRange(PlanSection):
    """Range of a metric, to which each site's agent cuts it."""

    range: NumberRange = Field(description="Least and largest number.")
    optional: bool = Field(False, description="Whether a site may give none; how many gave one is disclosed.")


def _as_range(value: Any) -> Any:
    stated = {"range": value} if isinstance(value, list | tuple) else value
    if isinstance(stated, dict) and isinstance(stated.get("range"), list):
        # A manifest is read strictly: behind a validator, a list does not pass for a tuple then.
        return stated | {"range": tuple(stated["range"])}
    return stated


class ExampleBounds(PlanSection):
    """Bounds of a site's number of examples, and so of its weight."""

    least: int = Field(1, ge=1, le=10**12, description="A site with fewer does not take part.")
    most: int = Field(ge=1, le=10**12, description="More count as so many.")
    max_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of one site in a weighted mean, colluders subtracted; by `least` and "
        "`most` alone.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"`least: {self.least}` is above `most: {self.most}`")
        return self


class SecureAggregation(PlanSection):
    """Sums over whole cells, of which no party sees the numbers of one site."""

    colluders: int | None = Field(
        None,
        ge=1,
        le=62,
        description="c: members of a cell that may collude with the aggregator without learning anything; "
        "unset: a third of the others, and at least 1.",
    )
    incomplete: Literal["fail", "leave_out"] = Field(
        "fail",
        description="What becomes of a cell that lacks a member at the deadline: the round fails, or the "
        "cell is left out.",
    )
    model: ModelBound | None = Field(
        None, description="Bound of the update; required with `update: aggregate`."
    )
    metrics: dict[Label, Annotated[MetricRange, BeforeValidator(_as_range)]] = Field(
        default_factory=dict,
        max_length=100,
        description="Ranges of the metrics: `{loss: [0, 20]}`, or `{auc: {range: [0, 1], optional: true}}`.",
    )
    examples: ExampleBounds | None = Field(
        None, description="Bounds of a site's number of examples; required where anything is weighed."
    )
    ring: Literal[32, 64] = Field(
        32, description="Bits of a word: 64 is for large whole numbers, and doubles what travels."
    )
    ready_after: _Delay | None = Field(
        None,
        description="No site answers sooner after its task began, so that the time of the answer does not "
        "show how much it computed; has to be stated where anything is weighed.",
    )
    in_the_open: Annotated[tuple[Label, ...], BeforeValidator(_as_tuple)] = Field(
        (),
        max_length=50,
        description="Tasks whose metrics and numbers of examples leave each site unmasked.",
    )
