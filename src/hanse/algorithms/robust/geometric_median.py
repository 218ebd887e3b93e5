"""RFA: the geometric median of the updates (Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2)."""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.robust.rule import WEIGHTS_WORDS, by_rule
from hanse.core.plan.robust_rules import GeometricMedian, Weights


class RfaSettings(GeometricMedian):
    """Settings of RFA: those of the rule, with all sites alike by default."""

    weights: Weights = Field("alike", description=WEIGHTS_WORDS)


RFA = by_rule("rfa", GeometricMedian, "Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2", RfaSettings)
