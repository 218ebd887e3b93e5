"""The aggregator's part in a sum: which READYs make a roster, and which masked vectors a sum."""

from __future__ import annotations

from typing import Any

import pytest
from tests.masked_sums import Site, altered, cell_plan, member, sites, verify

from hanse.core.values.sums.ready import ReadyBody
from hanse.errors import AttemptError, LateResultError, RunError, TrustError
from hanse.privacy.secagg.aggregator import (
    CellSum,
    OfferRoster,
    OpenSum,
    RecordAttempt,
    RecordMasked,
    RecordReady,
    take_masked,
    take_ready,
)

MEMBERS = [member(name) for name in "abcd"]
Y = {name: f"{k:064x}" for k, name in enumerate("abcd")}


def begun() -> tuple[CellSum, list[Site]]:
    return CellSum(cell_plan(MEMBERS)), sites("abcd")


def all_ready() -> tuple[CellSum, list[Site]]:
    cell, members = begun()
    for site in members:
        cell, _ = take_ready(cell, site.ready(), verify)
    return cell, members


def rho(cell: CellSum) -> str:
    assert cell.rho is not None
    return cell.rho


def complete() -> CellSum:
    cell, _ = all_ready()
    for name, digest in Y.items():
        cell, _ = take_masked(cell, name, 1, rho(cell), digest)
    return cell


def test_the_last_ready_completes_the_roster_of_each_member() -> None:
    cell, members = begun()
    statements = [site.ready() for site in members]
    for statement in statements[:3]:
        cell, made = take_ready(cell, statement, verify)
        assert [type(one) for one in made] == [RecordReady]
    assert cell.awaited == ("d",)
    cell, made = take_ready(cell, statements[3], verify)

    assert made == (RecordReady("d", 1, statements[3]), OfferRoster(1, rho(cell)))
    members[0].keys(statements)
    assert members[0].state.masking is not None
    assert members[0].state.masking.rho == rho(cell)


def test_the_last_masked_vector_opens_the_sum() -> None:
    cell, _ = all_ready()
    for name in "abc":
        cell, made = take_masked(cell, name, 1, rho(cell), Y[name])
        assert made == (RecordMasked(name, 1, rho(cell), Y[name]),)
    assert cell.awaited == ("d",)
    cell, made = take_masked(cell, "d", 1, rho(cell), Y["d"])

    assert made[1] == OpenSum(1, rho(cell), Y)
    assert cell.complete


def test_a_ready_that_comes_again_changes_nothing() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, statement := members[0].ready(), verify)

    assert take_ready(cell, statement, verify) == (cell, ())


def test_a_second_ready_of_one_site_and_attempt_is_refused_with_the_next_number() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, members[0].ready(), verify)
    restored = Site(MEMBERS[0], MEMBERS)
    restored.random = lambda size: bytes([7] * size)

    with pytest.raises(AttemptError, match=r"has another READY of it\. The next number is 2"):
        take_ready(cell, restored.ready(), verify)


def test_a_ready_of_an_attempt_that_is_over_is_refused_with_the_present_number() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, members[0].ready(5), verify)

    with pytest.raises(AttemptError, match=r"attempt 1 of b is over, .* The next number is 5"):
        take_ready(cell, members[1].ready(1), verify)


def test_after_the_last_attempt_no_number_is_left() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, members[0].ready(16), verify)
    restored = Site(MEMBERS[0], MEMBERS)
    restored.random = lambda size: bytes([7] * size)

    with pytest.raises(AttemptError, match="No attempt is left"):
        take_ready(cell, restored.ready(16), verify)


def test_a_member_that_was_restarted_begins_the_next_attempt_for_all() -> None:
    cell, members = all_ready()
    cell, _ = take_masked(cell, "b", 1, rho(cell), Y["b"])
    statement = members[0].ready(2)
    cell, made = take_ready(cell, statement, verify)

    assert made == (
        RecordAttempt(2, "a", "a lost the key of attempt 1, as in a restart"),
        RecordReady("a", 2, statement),
    )
    assert (cell.attempt, cell.rho, cell.awaited) == (2, None, ("b", "c", "d"))


def test_a_member_whose_journal_is_ahead_begins_at_its_number() -> None:
    cell, members = begun()
    cell, made = take_ready(cell, members[2].ready(6), verify)

    assert cell.attempt == 6
    assert made[0] == RecordAttempt(6, "c", "c had used up attempt 1 already")


def test_a_member_that_commits_to_other_numbers_is_out_of_the_exchange() -> None:
    cell, members = all_ready()
    restored = altered(members[0].ready(2), MEMBERS[0], commitment="cd" * 32)

    with pytest.raises(TrustError, match="a commits to other numbers than before"):
        take_ready(cell, restored, verify)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"context": "00" * 32}, "another context"),
        ({"exchange": 5}, "another exchange"),
        ({"run_id": "r2"}, "another run_id"),
        ({"federation": "south"}, "another federation"),
        ({"cell": "other"}, "another cell"),
        ({"suite": "other"}, "another suite"),
        ({"site": "b"}, "READY of b is not signed with the key that is recorded"),
        ({"site": "eve"}, "eve is not a member"),
        ({"public": "01" + "00" * 31}, "READY of a is of low order"),
        ({"attempt": 17}, "what came as a READY is none"),
        ({"attempt": 0}, "what came as a READY is none"),
    ],
)
def test_a_ready_that_would_spoil_the_roster_is_not_taken(changes: dict[str, Any], reason: str) -> None:
    cell, members = begun()

    with pytest.raises(TrustError, match=reason):
        take_ready(cell, altered(members[0].ready(), MEMBERS[0], **changes), verify)


def test_a_public_key_of_another_member_is_not_taken() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, first := members[0].ready(), verify)

    with pytest.raises(TrustError, match="b states the public key of a"):
        take_ready(cell, altered(members[1].ready(), MEMBERS[1], public=first.body["public"]), verify)


def test_one_masked_vector_is_taken_of_a_site_and_roster() -> None:
    cell, _ = all_ready()
    cell, _ = take_masked(cell, "a", 1, rho(cell), Y["a"])

    assert take_masked(cell, "a", 1, rho(cell), Y["a"]) == (cell, ())
    with pytest.raises(RunError, match="a has sent another masked vector"):
        take_masked(cell, "a", 1, rho(cell), Y["b"])


def test_masked_vectors_of_two_attempts_are_never_added() -> None:
    cell, members = all_ready()
    old = rho(cell)
    for site in members:
        cell, _ = take_ready(cell, site.ready(2), verify)

    with pytest.raises(LateResultError, match="attempt 1 of cell all is over"):
        take_masked(cell, "a", 1, old, Y["a"])
    with pytest.raises(LateResultError):
        take_masked(cell, "a", 2, old, Y["a"])


def test_a_masked_vector_before_the_roster_is_complete_is_refused() -> None:
    cell, members = begun()
    cell, _ = take_ready(cell, members[0].ready(), verify)

    with pytest.raises(LateResultError):
        take_masked(cell, "a", 1, "5a" * 32, Y["a"])


def test_a_stranger_has_no_part_in_a_sum() -> None:
    cell, _ = all_ready()

    with pytest.raises(RunError, match="eve is not a member"):
        take_masked(cell, "eve", 1, rho(cell), Y["a"])


def test_a_sum_that_is_open_takes_no_further_attempt() -> None:
    cell = complete()
    late = altered(Site(MEMBERS[0], MEMBERS).ready(2), MEMBERS[0])

    with pytest.raises(LateResultError, match="cell all of exchange 4 has ended"):
        take_ready(cell, late, verify)


def test_a_ready_is_written_as_it_is_read() -> None:
    statement = Site(MEMBERS[0], MEMBERS).ready()

    assert ReadyBody.model_validate(statement.body).model_dump() == statement.body
