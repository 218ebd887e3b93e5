"""Median of each number over the sites (Yin et al. 2018, ICML, arXiv 1803.01498, Algorithm 1)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import Median

MEDIAN = by_rule("median", Median, "Yin et al. 2018, arXiv 1803.01498, Algorithm 1")
