"""The clock here, held against the aggregator's."""

from __future__ import annotations

import pytest

from hanse.pki.certificates import BACKDATING
from hanse.pki.clock_skew import TOLERANCE_S, skew
from hanse.wire.messages.basics import Hello

NOW_S = 1_800_000_000
HELLO = Hello(version="1", federation="north", time_ms=NOW_S * 1000)
LAG_S = BACKDATING.total_seconds()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("off_s", "wrong", "breaks"),
    [(0, False, False), (TOLERANCE_S, False, False), (TOLERANCE_S + 1, True, False), (LAG_S + 1, True, True)],
)
def test_a_clock_is_judged_by_how_far_it_is_off(sign: int, off_s: float, wrong: bool, breaks: bool) -> None:
    clock = skew(HELLO, NOW_S + sign * off_s)

    assert clock.ahead_s == sign * off_s
    assert (clock.wrong, clock.breaks_certificates) == (wrong, breaks)
