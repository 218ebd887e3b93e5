"""Goals of a plan, and the best model so far by such a goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hanse.core.plan.section import PlanSection
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import Label


class Goal(PlanSection):
    """A metric and which way it is better."""

    metric: Label = Field(description="Metric of the committed round.")
    mode: Literal["min", "max"] = Field("max", description="Whether higher or lower is better.")


class EarlyStop(Goal):
    """When to end before the last round."""

    patience: int = Field(5, ge=1, description="Rounds without improvement after which the run ends.")
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as improvement.")


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a metric so far; `model` is None in a run without one."""

    value: float
    round_number: int
    model: ModelRef | None


def improves(goal: Goal, value: float, best: Best | None, min_delta: float = 0.0) -> bool:
    """Whether a metric is better than the best so far, by more than `min_delta`."""
    if best is None:
        return True
    gain = value - best.value if goal.mode == "max" else best.value - value
    return gain > min_delta
