"""Notices of a task."""

from __future__ import annotations

import pytest

from hanse.learners.notices import LONGEST, MOST, notice, notices_kept


def test_a_notice_is_kept_once_a_task() -> None:
    with notices_kept() as first:
        notice("the optimiser")
        notice("the optimiser")
    with notices_kept() as second:
        notice("the optimiser")

    assert (first, second) == (["the optimiser"], ["the optimiser"])


def test_outside_of_a_task_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notice("100 % of it")

    assert caplog.messages == ["100 % of it"]


def test_notices_are_bounded_and_can_be_encoded() -> None:
    with notices_kept() as kept:
        for number in range(100):
            notice(f"{number}\ud800" + "x" * 10_000)

    assert len(kept) == MOST
    assert all(len(text) == LONGEST and text.encode() for text in kept)
