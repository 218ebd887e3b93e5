"""Mean of updates that are scaled down to a norm (Sun et al. 2019, arXiv 1911.07963)."""

from __future__ import annotations

from pydantic import Field

from hanse.algorithms.robust.rule import WEIGHTS_WORDS, by_rule
from hanse.core.plan.robust_rules import NormBoundedMean, Weights


class NormBoundingSettings(NormBoundedMean):
    """Settings of norm bounding: those of the rule, with all sites alike by default."""

    weights: Weights = Field("alike", description=WEIGHTS_WORDS)


NORM_BOUNDING = by_rule(
    "norm_bounding", NormBoundedMean, "Sun et al. 2019, arXiv 1911.07963", NormBoundingSettings
)
