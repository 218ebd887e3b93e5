"""Numbers rounded to significant digits, in decimal as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_DOWN, Context

MOST_DIGITS = 17
"""Significant digits with which every float is written exactly."""


def significant(value: float, digits: int) -> float:
    """The float nearest to a number with so many significant digits, ties to even.

    Rounding again changes nothing. A finite number stays finite: one that would be rounded past the
    largest float is rounded towards zero. NaN and infinities stay.

    Args:
        value: The number.
        digits: From 1 to 17; 17 leaves every number as it is.
    """
    rounded = float(f"{value:.{digits - 1}e}")
    if math.isinf(rounded) and math.isfinite(value):
        return float(Context(prec=digits, rounding=ROUND_DOWN).create_decimal(repr(value)))
    return rounded


def rounded_metrics(metrics: Mapping[str, float | None], digits: int) -> dict[str, float | None]:
    """Metrics with so many significant digits each; one that is not defined (None) stays so."""
    return {name: None if value is None else significant(value, digits) for name, value in metrics.items()}
