import logging

import pytest

from hanse.transport.server.seldom import SeldomLog


def test_of_many_warnings_the_first_are_shown_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = SeldomLog(logging.getLogger("test"), most=2, period_s=10.0, clock=lambda: now)

    for number in range(5):
        log.warning("no. %d", number)
    now = 10.0
    log.warning("no. %d", 5)

    assert caplog.messages == ["no. 0", "no. 1", "left out 3 more warnings like the following", "no. 5"]


def test_few_warnings_are_all_shown(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = SeldomLog(logging.getLogger("test"), most=2, period_s=10.0, clock=lambda: now)

    for number in range(5):
        now += 6.0
        log.warning("no. %d", number)

    assert len(caplog.messages) == 5
