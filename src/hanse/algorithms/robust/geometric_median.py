"""RFA: the geometric median of the updates (Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import GeometricMedian

RFA = by_rule("rfa", GeometricMedian, "Pillutla et al. 2022, arXiv 1912.13445, Algorithm 2")
