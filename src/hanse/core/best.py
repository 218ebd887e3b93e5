"""The best model so far, by a metric of the plan's choice."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.core.plan import Goal


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a metric so far."""

    value: float
    round_number: int
    model: str


def improves(goal: Goal, value: float, best: Best | None, min_delta: float = 0.0) -> bool:
    """Whether a metric is better than the best so far, by more than `min_delta`."""
    if best is None:
        return True
    gain = value - best.value if goal.mode == "max" else best.value - value
    return gain > min_delta
