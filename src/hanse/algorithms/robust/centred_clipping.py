"""Mean of updates that are clipped around a centre (Karimireddy et al. 2021, ICML, arXiv 2012.10333)."""

from __future__ import annotations

from hanse.algorithms.robust.rule import by_rule
from hanse.core.plan.robust_rules import CentredClipping

CENTRED_CLIPPING = by_rule("centred_clipping", CentredClipping, "Karimireddy et al. 2021, arXiv 2012.10333")
