"""Notices of virtual sites."""

from __future__ import annotations

import pytest

from hanse.simulation.notices import MOST_SITES, Notices


def test_a_notice_is_said_once_of_each_of_a_few_sites() -> None:
    said: list[str] = []
    notices = Notices(said.append)

    for _ in range(2):
        for number in range(10):
            notices.add(f"site-{number}", ["nothing was trained"])

    assert len(said) == MOST_SITES
    assert said[0] == "at site-0: nothing was trained"
    assert said[-1].endswith("nothing was trained (the same at other sites is not said again)")


def test_other_notices_of_a_site_are_said_too() -> None:
    said: list[str] = []
    notices = Notices(said.append)

    notices.add("a", ["one", "two"])
    notices.add("a", ["three"])

    assert said == ["at a: one", "at a: two", "at a: three"]


def test_without_anybody_to_say_them_to_they_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    Notices().add("a", ["100 % of it"])

    assert caplog.messages == ["at a: 100 % of it"]
