"""Mean of updates that are scaled down to a norm (Sun et al. 2019, arXiv 1911.07963)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import NormBoundedMean

NORM_BOUNDING = by_rule("norm_bounding", NormBoundedMean, "Sun et al. 2019, arXiv 1911.07963")
