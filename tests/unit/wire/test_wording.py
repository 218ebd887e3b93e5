"""Sentences made of messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.run.attendance import Participation
from hanse.core.run.round_events import Data
from hanse.wire.messages.runs import AwaitedSite, ExchangeAttendance, StartWait, SuspendedSite
from hanse.wire.messages.sites import RunSuspension
from hanse.wire.wording import (
    format_absent,
    format_awaited,
    format_late,
    format_short_rounds,
    format_start,
    format_suspension,
)

names = st.lists(st.text("abc", min_size=1, max_size=2), max_size=15).map(tuple)
numbers = st.integers(0, 2**53)


def participation(data: Data | None, **groups: Any) -> Participation:
    empty: dict[str, Any] = {"failed": {}, "idle": (), "unanswered": (), "suspended": ()}
    place: dict[str, Any] = {"exchange": 7, "round_number": 3, "index": 0, "task": "train"}
    return Participation(
        **place, cause="grace", asked=("a", "b"), answered=("a",), data=data, **(empty | groups)
    )


def absent(data: Data | None, most: int | None = None, **groups: Any) -> str:
    return format_absent(ExchangeAttendance.of(participation(data, **groups), most))


class TestAbsent:
    def test_whoever_is_missing_is_named_with_the_part_of_the_data(self) -> None:
        told = absent(
            Data(answered=690, missing=310, tolerated=0.2),
            failed={"cleveland": "out of memory"},
            idle=("zurich",),
        )

        assert told == (
            "round 3, train: cleveland (failed) and zurich (silent), 31 % of the data known so far, are "
            "not in it; the plan tolerates 20 %"
        )

    def test_what_is_not_known_is_said_to_be_so(self) -> None:
        told = absent(Data(answered=5, missing=0, unknown=("b",), tolerated=0.5), unanswered=("b",))

        assert told == (
            "round 3, train: b (no answer in time) is not in it, and how much data it has is not known: it "
            "has never answered train"
        )

    def test_both_can_be(self) -> None:
        told = absent(
            Data(answered=90, missing=10, unknown=("b", "c"), tolerated=0.5),
            suspended=("d",),
            unanswered=("b", "c"),
        )

        assert told == (
            "round 3, train: d (suspended), 10 % of the data known so far, is not in it; b (no answer in "
            "time) and c (no answer in time) are not in it either, and how much data they have is not known: "
            "they have never answered train"
        )

    def test_where_nobody_is_missing_nothing_is_said(self) -> None:
        assert absent(Data(answered=1, missing=0, tolerated=0.0)) == ""

    def test_where_nobody_counted_no_part_is_told(self) -> None:
        assert absent(None, unanswered=("c",)) == "round 3, train: c (no answer in time) is not in it"

    @pytest.mark.parametrize("most", [10, 11, 25, 100])
    def test_a_message_that_names_the_first_sites_gives_the_sentence_of_all(self, most: int) -> None:
        fleet = tuple(f"s{number:02}" for number in range(80))
        groups = {
            "failed": dict.fromkeys(fleet[:30], "no"),
            "idle": fleet[30:40],
            "unanswered": fleet[40:70],
            "suspended": fleet[70:],
        }
        data = Data(answered=90, missing=10, unknown=fleet[5:60], tolerated=0.05)

        told = absent(data, most, **groups)

        assert told == absent(data, **groups)
        assert "s04 (failed), s60 (no answer in time), " in told
        assert "s64 (no answer in time) and 15 more, 10 % of the data known so far, are not in it" in told
        assert "s14 (failed) and 45 more are not in it either" in told

    @given(
        st.lists(names, min_size=5, max_size=5),
        st.tuples(numbers, numbers, numbers),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    )
    def test_a_message_that_does_not_hold_together_gives_a_sentence_too(
        self, sites: list[tuple[str, ...]], counts: tuple[int, int, int], share: float | None
    ) -> None:
        failed, idle, unanswered, suspended, unknown = sites
        message = ExchangeAttendance(
            exchange=1,
            round_number=counts[0],
            task="train",
            cause="all",
            asked=0,
            answered=0,
            absent=counts[1],
            failed=dict.fromkeys(failed, "no"),
            idle=idle,
            unanswered=unanswered,
            suspended=suspended,
            late={},
            num_examples=0,
            missing_examples=0,
            missing_share=share,
            unknown=unknown,
            unknown_count=counts[2],
            tolerated=share,
            too_little=True,
        )

        told = format_absent(message)

        assert bool(told) == (counts[1] > 0)
        assert len(told) < 2_500


class TestAwaited:
    SITE = AwaitedSite(
        site="b", task="train", state="started", since_ms=0, deadline_ms=60_000, connected=True
    )

    def test_a_site_is_named_with_its_task_and_its_times(self) -> None:
        assert format_awaited(self.SITE) == (
            "b (train, at work since 1970-01-01 00:00:00Z, until 1970-01-01 00:01:00Z)"
        )

    def test_a_site_that_is_not_connected_is_said_to_be_so(self) -> None:
        away = self.SITE.model_copy(update={"connected": False})

        assert format_awaited(away).endswith(", until 1970-01-01 00:01:00Z, not connected)")

    def test_an_answer_to_the_plan_is_named_as_such(self) -> None:
        asked = self.SITE.model_copy(update={"task": None, "state": "assigned"})

        assert format_awaited(asked).startswith("b (answer to the plan, asked since ")

    def test_a_silent_site_is_waited_for_or_it_is_not(self) -> None:
        silent = self.SITE.model_copy(update={"state": "idle", "needed": False})
        needed = silent.model_copy(update={"needed": True})

        assert format_awaited(silent) == "b (train, silent since 1970-01-01 00:00:00Z, no longer waited for)"
        assert format_awaited(needed) == (
            "b (train, silent since 1970-01-01 00:00:00Z, and too few can answer without it: the round waits "
            "until 1970-01-01 00:01:00Z, and fails then)"
        )

    def test_a_time_that_no_calendar_has_is_told_in_milliseconds(self) -> None:
        late = self.SITE.model_copy(update={"deadline_ms": 2**53})

        assert format_awaited(late).endswith("until 9007199254740992 ms after 1970)")


class TestStart:
    WAIT = StartWait(
        accepted=3, needed=5, asked=6, unanswered=3, until_ms=86_400_000, absent_until_ms=3_600_000
    )

    def test_too_few_acceptances_are_counted(self) -> None:
        assert format_start(self.WAIT) == ("2 more sites: 3 accepted, 5 needed, until 1970-01-02 00:00:00Z")

    def test_too_few_sites_are_said_to_be_so(self) -> None:
        few = self.WAIT.model_copy(update={"asked": 4})

        assert format_start(few).endswith("until 1970-01-02 00:00:00Z; only 4 asked")

    def test_a_run_that_waits_for_absent_sites_alone_names_them_and_the_hour(self) -> None:
        absent = {"accepted": 5, "unanswered": 1, "absent": ("f",), "absent_count": 1}

        assert format_start(self.WAIT.model_copy(update=absent)) == (
            "f, which has not been connected since the submission, until 1970-01-01 01:00:00Z: 5 accepted, 5 "
            "needed"
        )

    def test_connected_sites_are_waited_for_longer_than_absent_ones(self) -> None:
        absent = {"accepted": 5, "unanswered": 2, "absent": ("f",), "absent_count": 1}

        assert format_start(self.WAIT.model_copy(update=absent)) == (
            "the answers of 2 sites until 1970-01-02 00:00:00Z: 5 accepted, 5 needed; for f, which has not "
            "been connected since the submission, until 1970-01-01 01:00:00Z"
        )


class TestSuspension:
    @pytest.mark.parametrize(
        ("terms", "told"),
        [
            ({"reinstatement_round": 6}, "it is asked again from round 6 on, or when it is reinstated"),
            (
                {"reinstatement_ms": 1_800_000},
                "it is asked again from the first round after 1970-01-01 00:30:00Z on, or when it is "
                "reinstated",
            ),
            ({}, "it is asked again when it is reinstated"),
        ],
    )
    def test_a_site_and_its_operator_are_told_the_same(self, terms: dict[str, int], told: str) -> None:
        at_site = RunSuspension(reason="it failed", **terms)
        at_operator = SuspendedSite(site="b", reason="it failed", round_number=1, since_ms=0, **terms)

        assert format_suspension(at_site) == format_suspension(at_operator) == f"it failed; {told}"


def test_late_sites_are_named_with_their_examples() -> None:
    found = participation(Data(answered=1, missing=1))
    late = replace(found, late={"b": 7, "c": 5})

    assert format_late(ExchangeAttendance.of(late)) == (
        "round 3, train: b (7 examples), c (5 examples); not counted"
    )
    assert format_late(ExchangeAttendance.of(found)) == ""


@pytest.mark.parametrize(
    ("count", "told"), [(0, ""), (1, "too little data in 1 round"), (2, "too little data in 2 rounds")]
)
def test_short_rounds_are_counted(count: int, told: str) -> None:
    assert format_short_rounds(count) == told
