"""Lists, parts and reasons in sentences."""

from __future__ import annotations

import pytest

from hanse.core.values.wording import MOST_NAMED, and_more, named, percent, shortened


def test_of_many_sites_the_first_are_named() -> None:
    sites = [f"s{number}" for number in range(MOST_NAMED + 5)]

    assert named(sites).endswith("s8, s9 and 5 more")
    assert [named(sites[:count]) for count in range(4)] == ["", "s0", "s0 and s1", "s0, s1 and s2"]


@pytest.mark.parametrize(
    ("parts", "most", "count", "shown"),
    [
        ("ab", 2, None, ["a", "b"]),
        ("abc", 2, None, ["a", "b", "and 1 more"]),
        ("ab", 2, 7, ["a", "b", "and 5 more"]),
        ("", 2, None, []),
    ],
)
def test_what_is_left_out_is_counted(parts: str, most: int, count: int | None, shown: list[str]) -> None:
    assert and_more(list(parts), most, count) == shown


@pytest.mark.parametrize(("part", "text"), [(0.31, "31 %"), (0.0004, "0.04 %"), (1.0, "100 %")])
def test_parts_are_told_in_percent(part: float, text: str) -> None:
    assert percent(part) == text


def test_a_long_reason_becomes_one_short_line() -> None:
    assert shortened("out of\n  memory") == "out of memory"
    assert len(shortened("x" * 1_000)) == 200
