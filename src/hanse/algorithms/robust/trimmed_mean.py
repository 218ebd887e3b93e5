"""Mean of each number without its extreme values (Yin et al. 2018, ICML, arXiv 1803.01498, Algorithm 1)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import TrimmedMean

TRIMMED_MEAN = by_rule("trimmed_mean", TrimmedMean, "Yin et al. 2018, arXiv 1803.01498, Algorithm 1")
