"""A run with masked sums that is resumed: what came stands, and who is missing is asked."""

from __future__ import annotations

from tests.unit.core.run.masked_runs import MaskedDriver, signer_of
from tests.unit.core.run.runs import MODEL

from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import AnswerPlan, Fail, Invite, Leave, Resume
from hanse.core.run.requests.commands import OpenExchange, OpenRound
from hanse.core.run.run import Phase
from hanse.core.run.tasks import FailTask


def test_what_came_stands_and_who_is_missing_is_asked() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de")
    driver.do(FailTask(1, "f", "no memory"))

    driver.do(Resume("operator"))

    assert driver.exchange.answered == ("a", "b", "c")
    assert driver.exchange.sites(MemberState.READY) == ("d", "e")
    assert driver.exchange.awaited == ("f",)
    assert driver.ready("f") == ["SiteReady"]
    assert driver.masked("def")[-1] == "ExchangeClosed"


def test_a_cell_that_was_left_out_is_asked_again() -> None:
    driver = MaskedDriver("leave_out")
    driver.ready("abc")
    driver.masked("a")
    driver.do(FailTask(1, "b", "no memory"))
    driver.do(Fail("workflow", "a bug"))

    driver.do(Resume("operator"))

    standing = driver.exchange.sums["north"]
    assert (standing.left_out, standing.awaited) == ("", ("b", "c"))
    assert driver.exchange.answered == ("a",)
    assert driver.ready("b", 2) == ["SumAttempted", "SiteReady"]
    assert driver.complete("ac", 2) + driver.masked("b") == ["SiteReady"] * 2 + ["UpdateAccepted"] * 3


def test_where_a_member_left_the_round_begins_again_without_its_cell() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de", 3)
    driver.do(Leave("f", "removed"))
    assert driver.state.phase is Phase.FAILED

    driver.do(Resume("operator"))
    driver.do(OpenRound(1))
    opened = driver.do(OpenExchange(1, 0, "train", MODEL))

    assert opened == ["ExchangeOpened", "ExchangeClosed"]
    assert (driver.exchange.answered, driver.exchange.number) == (("a", "b", "c"), 1)


def test_attempts_and_commitments_of_a_cell_that_is_asked_again_stand() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de", 3)
    driver.do(Leave("f", "removed"))
    driver.do(Resume("operator"))
    driver.do(Invite("f", signer_of("f")))
    driver.do(AnswerPlan("f", accepted=True, signer=signer_of("f")))
    driver.do(OpenRound(1))

    driver.do(OpenExchange(1, 0, "train", MODEL))

    standing = driver.exchange.sums["south"]
    assert (standing.attempt, tuple(standing.ready)) == (3, ("d", "e"))
    assert {*standing.commitments} == {"d", "e"}
    assert driver.ready("f", 3) == ["SiteReady"]
    assert driver.masked("def")[-1] == "ExchangeClosed"


def test_a_ready_with_a_key_that_was_replaced_does_not_stand() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de")
    driver.do(FailTask(1, "f", "no memory"))
    driver.do(Resume("operator", {"d": "9" * 64}))
    driver.do(AnswerPlan("d", accepted=True, signer="9" * 64))
    driver.do(OpenRound(1))
    driver.do(OpenExchange(1, 0, "train", MODEL))

    standing = driver.exchange.sums["south"]
    assert (dict(standing.ready), {*standing.commitments}) == ({}, {"d", "e"})
    assert driver.exchange.sums["north"].complete
