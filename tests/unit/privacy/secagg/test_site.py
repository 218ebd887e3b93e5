"""A site's part in a sum: one vector an exchange, one READY a number, one masked vector a roster."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.masked_sums import Site, member, sites

from hanse.core.values.statements import SignedStatement
from hanse.errors import PolicyError
from hanse.privacy.secagg.roster import Pins
from hanse.privacy.secagg.site import MaskedVector, SumHistory, SumPhase
from hanse.privacy.secagg.site_steps import (
    Asked,
    Fail,
    FailureKind,
    FetchRoster,
    MaskWritten,
    RecordMasked,
    RecordReady,
    RecordRoster,
    RosterCame,
    SendMasked,
    SendReady,
    WriteMasked,
)

MEMBERS = [member(name) for name in "abcd"]
Y, RHO = "ab" * 32, "5a" * 32


def site(history: SumHistory | None = None, **changes: Any) -> Site:
    return Site(MEMBERS[0], MEMBERS, history, **changes)


def accepted() -> tuple[Site, list[SignedStatement]]:
    """A site that has accepted a roster and has not masked yet."""
    cell = sites("abcd")
    roster = [other.ready() for other in cell]
    cell[0].keys(roster)
    return cell[0], roster


def numbers(instructions: tuple[Any, ...]) -> list[int]:
    return [made.body.attempt for made in instructions if isinstance(made, RecordReady)]


def test_a_ready_is_recorded_before_it_is_sent() -> None:
    a = site()

    recorded, sent = a.take(Asked(1))
    assert isinstance(recorded, RecordReady)
    assert isinstance(sent, SendReady)
    assert recorded.body == sent.body == a.live.body
    assert a.state.phase is SumPhase.READY


def test_a_roster_is_recorded_before_anything_is_masked() -> None:
    cell = sites("abcd")
    recorded, write = cell[0].take(RosterCame(tuple(s.ready() for s in cell)))

    assert isinstance(recorded, RecordRoster)
    assert isinstance(write, WriteMasked)
    assert recorded.commitments["a"] == cell[0].state.plan.commitment
    assert cell[0].state.phase is SumPhase.ROSTERED


def test_a_masked_vector_is_recorded_before_it_is_sent() -> None:
    a, _ = accepted()

    recorded, sent = a.written(Y)
    assert isinstance(recorded, RecordMasked)
    assert isinstance(sent, SendMasked)
    assert (recorded.masked, sent.masked) == (Y, Y)
    assert a.state.phase is SumPhase.MASKED


def test_the_private_key_ends_with_the_roster_that_it_was_used_for() -> None:
    a, _ = accepted()

    assert a.state.live is None


def test_neither_private_key_nor_mask_keys_are_printed() -> None:
    cell = sites("abcd")
    roster = [other.ready() for other in cell]

    assert "private" not in repr(cell[0].state)
    assert "key=" not in repr(cell[0].take(RosterCame(tuple(roster)))[1])


def test_a_ready_whose_reply_was_lost_is_sent_again_as_it_was() -> None:
    a = site()
    (_, sent) = a.take(Asked(1))

    assert a.take(Asked(1)) == (sent,)


def test_a_ready_is_not_made_twice_with_one_number() -> None:
    # Asked again and again for the first attempt, with its memory lost each time.
    history, released = SumHistory(), list[int]()
    for _ in range(21):
        a = site(history)
        released += numbers(a.take(Asked(1)))
        history = a.state.history

    assert released == list(range(1, 17))
    assert a.state.phase is SumPhase.FAILED


def test_numbers_rise_whatever_a_site_is_asked() -> None:
    a, released = site(), list[int]()
    for attempt in (9, 3, 12, 2):
        released += numbers(a.take(Asked(attempt)))
        a = site(a.state.history)

    assert released == [9, 10, 12, 13]


def test_a_lower_attempt_is_answered_with_the_live_ready() -> None:
    a = site()
    (_, sent) = a.take(Asked(9))

    assert a.take(Asked(3)) == (sent,)


def test_a_later_attempt_ends_the_ready_before() -> None:
    a = site()
    old = a.ready(1)

    assert numbers(a.take(Asked(2))) == [2]
    assert a.statement.body["public"] != old.body["public"]


def test_an_attempt_beyond_16_fails_the_exchange() -> None:
    (failed,) = site(SumHistory(last=16)).take(Asked(1))

    assert isinstance(failed, Fail)
    assert failed.kind is FailureKind.ATTEMPTS


def test_a_number_that_a_roster_has_used_is_not_used_again() -> None:
    # The folder is from before its READY of attempt 1; the aggregator has a roster with that READY.
    assert numbers(site().take(Asked(1, RHO))) == [2]


def test_a_complete_roster_is_fetched() -> None:
    a = site()
    a.ready(1)

    assert a.take(Asked(1, RHO)) == (FetchRoster(RHO),)


def test_while_it_masks_a_site_is_not_disturbed_by_the_same_roster() -> None:
    a, _ = accepted()
    assert a.state.masking is not None

    assert a.take(Asked(1, a.state.masking.rho)) == ()


def test_a_masked_vector_is_sent_again_and_not_masked_again() -> None:
    a = site(SumHistory(last=3, masked={RHO: MaskedVector(2, Y)}))

    assert a.take(Asked(2, RHO)) == (SendMasked(2, RHO, Y),)


def test_a_site_that_was_killed_while_it_masked_takes_the_next_number() -> None:
    a, _ = accepted()
    rho = a.state.masking.rho if a.state.masking else ""
    again = site(a.state.history)

    assert numbers(again.take(Asked(1, rho))) == [2]


def test_the_masked_vector_of_an_attempt_that_is_over_is_not_released() -> None:
    a, _ = accepted()
    rho = a.state.masking.rho if a.state.masking else ""
    a.take(Asked(2))

    assert a.take(MaskWritten(rho, Y, a.state.plan.commitment)) == ()
    assert not a.state.history.masked


def test_the_masked_vector_of_an_earlier_roster_does_not_count_for_a_later_one() -> None:
    cell = sites("abcd")
    a = cell[0]
    a.keys([other.ready() for other in cell])
    earlier = a.state.masking.rho if a.state.masking else ""
    a.keys([other.ready(2) for other in cell])

    assert a.take(MaskWritten(earlier, Y, a.state.plan.commitment)) == ()
    assert a.state.phase is SumPhase.ROSTERED


def test_the_masked_vector_of_another_q_is_neither_recorded_nor_sent() -> None:
    a, _ = accepted()

    (failed,) = a.written(Y, commitment="cd" * 32)
    assert isinstance(failed, Fail)
    assert failed.kind is FailureKind.LOST_VECTOR
    assert not a.state.history.masked


def test_after_a_failure_nothing_leaves() -> None:
    a = site(SumHistory(last=16))
    a.take(Asked(1))

    assert a.take(Asked(2)) == ()


def test_a_cell_of_too_few_checked_peers_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(PolicyError, match="keys of 0 peers"):
        site(pins=Pins())


EVENTS = st.one_of(
    st.tuples(st.just("asked"), st.integers(1, 17), st.sampled_from([None, RHO, "present"])),
    st.tuples(st.sampled_from(["killed", "roster", "written"]), st.just(0), st.none()),
)


@given(st.lists(EVENTS, max_size=40))
def test_no_schedule_makes_two_readys_of_a_number_or_two_vectors_of_a_roster(
    schedule: list[tuple[str, int, str | None]],
) -> None:
    cell = sites("abcd")
    a, released, vectors = cell[0], list[int](), dict[str, set[str]]()
    for k, (what, attempt, rho) in enumerate(schedule):
        masking, live = a.state.masking, a.state.live
        made: tuple[Any, ...] = ()
        if what == "asked":
            made = a.take(Asked(attempt, masking.rho if masking and rho == "present" else rho))
        elif what == "killed":
            a = Site(a.own, MEMBERS, a.state.history)
        elif what == "roster" and live is not None:
            others = [Site(m, MEMBERS).ready(live.body.attempt) for m in MEMBERS[1:]]
            made = a.take(RosterCame((a.statement, *others)))
        elif what == "written" and masking is not None:
            made = a.written(f"{k:064x}")
        released += numbers(made)
        for one in made:
            if isinstance(one, RecordMasked):
                vectors.setdefault(one.rho, set()).add(one.masked)
            if isinstance(one, SendMasked):
                assert vectors[one.rho] == {one.masked}

    assert released == sorted(set(released))
    assert all(1 <= attempt <= 16 for attempt in released)
