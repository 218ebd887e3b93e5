"""Tail probabilities of the normal and the chi-square distribution."""

from __future__ import annotations

import math


def normal_two_sided(z: float) -> float:
    """Chance that a standard normal number is at least as far from 0 as `z`."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_square(x: float, degrees: int) -> float:
    """Chance that a chi-square number with so many degrees of freedom is at least `x`.

    By the recurrence Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1) of the incomplete gamma function
    (DLMF 8.8.6), from Q(1/2, y) = erfc(sqrt(y)) or Q(1, y) = e^-y; all terms are positive.

    Args:
        x: At least 0.
        degrees: At least 1.
    """
    if x <= 0:
        return 1.0
    y = x / 2
    a = 0.5 if degrees % 2 else 1.0
    tail = math.erfc(math.sqrt(y)) if degrees % 2 else math.exp(-y)
    while a < degrees / 2:
        tail += math.exp(a * math.log(y) - y - math.lgamma(a + 1))
        a += 1
    return min(tail, 1.0)
