"""Clock of this machine, held against the aggregator's: certificates and deadlines go by both."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.pki.certificates import BACKDATING
from hanse.wire.messages.basics import Hello

TOLERANCE_S = 60.0
"""Seconds between two clocks that need no warning."""


@dataclass(frozen=True, slots=True)
class Skew:
    """How far this machine's clock is from the aggregator's.

    Attributes:
        ahead_s: Seconds by which it is ahead; below 0 where it is behind.
    """

    ahead_s: float

    @property
    def wrong(self) -> bool:
        """Whether people should hear of the skew."""
        return abs(self.ahead_s) > TOLERANCE_S

    @property
    def breaks_certificates(self) -> bool:
        """Whether a new certificate would not be valid by one of the two clocks."""
        return abs(self.ahead_s) > BACKDATING.total_seconds()


def skew(hello: Hello, now_s: float) -> Skew:
    """Hold a clock against the aggregator's.

    Args:
        hello: From the aggregator, just now.
        now_s: The time here, seconds since 1970.
    """
    return Skew(now_s - hello.time_ms / 1000)
