"""READYs of a masked sum: which are taken, which begin a further attempt, and which are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.core.run.masked_runs import MaskedDriver, ready_body, result, signed, take_ready, vector_of
from tests.unit.core.run.runs import Driver

from hanse.core.run.events import Event
from hanse.core.run.evolve import evolve
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.sums.events import SiteReady, SumAttempted
from hanse.core.run.tasks import FailTask
from hanse.core.values.sums.place import SumPlace
from hanse.core.values.sums.ready import rho_of
from hanse.errors import AttemptError, LateResultError, RunError, TamperedError, TrustError

FIRST = SumPlace(cell="north", attempt=1, rho=rho_of([ready_body(site) for site in "abc"]))
"""The roster of the first attempt."""


def test_the_last_ready_completes_the_roster() -> None:
    driver = MaskedDriver()

    driver.ready("ab")
    before = driver.exchange.sums["north"].rho
    driver.ready("c")

    assert (before, driver.exchange.sums["north"].rho) == (None, rho_of([ready_body(site) for site in "abc"]))
    assert driver.exchange.sites(MemberState.READY) == ("a", "b", "c")


def test_a_repetition_changes_nothing_not_even_when_the_exchange_is_over() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")

    assert driver.exchange.closed == "all"
    assert driver.ready("a") == []


def test_a_ready_of_a_later_attempt_begins_it_for_all_members_of_the_cell() -> None:
    driver = MaskedDriver()
    driver.ready("abcd")
    driver.masked("a")

    assert driver.do(take_ready("b", 3, "b lost the key of attempt 1")) == ["SumAttempted", "SiteReady"]
    standing = driver.cell_of("a")
    assert (standing.attempt, tuple(standing.ready), dict(standing.masked)) == (3, ("b",), {})
    assert standing.reason == "b lost the key of attempt 1"
    assert driver.exchange.sites(MemberState.STARTED) == ("a", "c")
    assert driver.exchange.sites(MemberState.READY) == ("b", "d")


def test_a_result_counts_for_all_members_at_once_when_their_cell_is_complete() -> None:
    driver = MaskedDriver()
    driver.ready("abc")
    driver.masked("ab")
    driver.ready("c", 2)
    driver.complete("ab", 2)
    before = dict(driver.state.accepted.items())
    driver.masked("c")

    # A further attempt starts from what counted before the exchange, as the first one did.
    assert (before, dict(driver.state.accepted.items())) == ({}, {"a": 1, "b": 1, "c": 1})


def test_a_masked_vector_of_an_attempt_that_is_over_is_late() -> None:
    driver = MaskedDriver()
    driver.ready("abc")
    driver.masked("ab")
    driver.ready("c", 2)

    with pytest.raises(LateResultError, match="attempt 2 is under way"):
        driver.do(result("a", FIRST, vector_of("a")))


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_number_that_is_used_up_is_refused_with_the_next(attempt: int) -> None:
    driver = MaskedDriver()
    driver.ready("ab", 2)

    with pytest.raises(AttemptError, match=r"over, or has another READY of it\. The next number is 3"):
        driver.do(take_ready("a", attempt, public="7" * 64))


def test_a_member_that_comes_later_states_the_present_attempt() -> None:
    driver = MaskedDriver()
    driver.ready("a", 16)

    with pytest.raises(AttemptError, match="The next number is 16"):
        driver.do(take_ready("b", 15))


def test_without_an_attempt_left_no_number_is_named() -> None:
    driver = MaskedDriver()
    driver.ready("a", 16)

    with pytest.raises(AttemptError, match="No attempt is left"):
        driver.do(take_ready("a", 16, public="7" * 64))


def test_another_commitment_is_refused_in_every_attempt() -> None:
    driver = MaskedDriver()
    driver.ready("a")

    for attempt in (1, 2):
        with pytest.raises(TrustError, match="a commits to other numbers than before"):
            driver.do(take_ready("a", attempt, commitment="7" * 64))


@pytest.mark.parametrize("what", ["public", "signer"])
def test_two_members_with_one_key_are_refused(what: str) -> None:
    driver = MaskedDriver()
    driver.ready("a")

    with pytest.raises(TrustError, match=f"states the {what} of a"):
        driver.do(take_ready("b", **{what: getattr(ready_body("a"), what)}))


def test_a_site_that_failed_is_asked_no_more() -> None:
    driver = MaskedDriver("leave_out")
    driver.do(FailTask(1, "a", "no memory"))

    with pytest.raises(LateResultError, match="the cell north of exchange 1 is over"):
        driver.ready("a")


def test_a_ready_for_a_cell_of_others_is_refused() -> None:
    command = take_ready("a")

    with pytest.raises(RunError, match="a is not a member of the cell south"):
        MaskedDriver().do(replace(command, cell="south"))


def test_a_result_without_its_roster_is_refused() -> None:
    driver = MaskedDriver()
    driver.ready("abc")
    command = driver.result("a", vector_of("a"))

    with pytest.raises(RunError, match="does not say for which roster it is masked"):
        driver.do(replace(command, secure_sum=None))


def test_a_masked_vector_before_the_roster_is_complete_is_late() -> None:
    driver = MaskedDriver()
    driver.ready("ab")

    with pytest.raises(LateResultError, match="over or has another roster"):
        driver.do(result("a", FIRST, vector_of("a")))


def test_a_second_masked_vector_for_one_roster_is_refused() -> None:
    driver = MaskedDriver()
    driver.ready("abc")
    driver.masked("a")

    assert driver.masked("a") == []
    with pytest.raises(RunError, match="another masked vector for this roster"):
        driver.masked("a", "7" * 64)


def test_a_masked_vector_for_a_task_that_is_not_masked_is_refused() -> None:
    with pytest.raises(RunError, match="has no masked sum"):
        Driver().asked().do(result("a", FIRST, vector_of("a")))


READY = SiteReady(exchange=1, site="a", cell="north", attempt=1, statement=signed(ready_body("a")))
ATTEMPTED = SumAttempted(exchange=1, cell="north", attempt=2, site="a", reason="restarted")


def _accepted(site: str, place: SumPlace | None) -> UpdateAccepted:
    statement = signed(ready_body(site))
    body = {} if place is None else {"secure_sum": place.model_dump()}
    return UpdateAccepted(
        exchange=1,
        site=site,
        num_examples=0,
        metrics={},
        update=vector_of(site),
        statement=statement.model_copy(update={"body": body}),
    )


@pytest.mark.parametrize(
    "event",
    [
        READY,
        READY.model_copy(update={"attempt": 2}),
        READY.model_copy(update={"site": "b"}),
        READY.model_copy(update={"cell": "south"}),
        READY.model_copy(update={"exchange": 2}),
        READY.model_copy(
            update={"site": "b", "statement": signed(ready_body("b")).model_copy(update={"body": {}})}
        ),
        ATTEMPTED.model_copy(update={"attempt": 1}),
        ATTEMPTED.model_copy(update={"site": "d"}),
        _accepted("a", None),
        _accepted("a", FIRST),
        _accepted("d", FIRST),
    ],
)
def test_a_journal_with_what_cannot_follow_is_refused(event: Event) -> None:
    driver = MaskedDriver()
    driver.ready("a")

    with pytest.raises(TamperedError):
        evolve(driver.state, event, 0)
