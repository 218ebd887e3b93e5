"""Krum, and multi-Krum with `keep` above 1 (Blanchard et al. 2017, NeurIPS, arXiv 1703.02757)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import Krum

KRUM = by_rule("krum", Krum, "Blanchard et al. 2017, arXiv 1703.02757")
