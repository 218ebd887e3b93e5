"""Lists, parts, times and reasons in sentences."""

from __future__ import annotations

import pytest

from hanse.core.values.wording import (
    MOST_NAMED,
    and_more,
    bounded,
    counted,
    format_time,
    in_phase,
    named,
    percent,
    shortened,
    visible,
)


def test_of_many_sites_the_first_are_named() -> None:
    sites = [f"s{number}" for number in range(MOST_NAMED + 5)]

    assert named(sites).endswith("s8, s9 and 5 more")
    assert [named(sites[:count]) for count in range(4)] == ["", "s0", "s0 and s1", "s0, s1 and s2"]
    assert named(sites[:MOST_NAMED], count=50).endswith("s8, s9 and 40 more")
    assert named(sites[:2], 2, 3) == "s0, s1 and 1 more"


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


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (None, "-"),
        (0, "1970-01-01 00:00:00Z"),
        (1_796_030_665_841, "2026-11-30 09:24:25Z"),
        (2**53, "9007199254740992 ms after 1970"),
        (-(2**80), f"{-(2**80)} ms after 1970"),
    ],
)
def test_a_time_is_told_in_utc_and_without_a_calendar_in_milliseconds(time_ms: int | None, text: str) -> None:
    assert format_time(time_ms) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 records"), (1, "1 record"), (2, "2 records")])
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert counted(count, "record") == text


@pytest.mark.parametrize(("phase", "text"), [("failed", "has failed"), ("running", "is running")])
def test_a_run_has_failed_and_is_in_any_other_phase(phase: str, text: str) -> None:
    assert in_phase(phase) == text


def test_a_bounded_text_is_cut_with_an_ellipsis() -> None:
    assert bounded("abcdef", 4) == "abc…"
    assert bounded("abcd", 4) == "abcd"


def test_a_bounded_text_has_no_lone_surrogates() -> None:
    assert bounded("a\udc80b", 9) == "a?b"


def test_line_breaks_and_control_characters_become_visible() -> None:
    assert visible("é\n\t\x1b\u2028\udc80") == r"é\n\t\x1b\u2028\udc80"


def test_letters_of_any_script_stay_visible() -> None:
    assert visible("Zürich 東京 \x1b[31m\t") == r"Zürich 東京 \x1b[31m\t"
