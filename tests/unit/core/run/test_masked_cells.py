"""Cells of a masked sum: when an exchange closes, which cells are left out, and what a sum is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.core.run.masked_runs import MaskedDriver, masked_plan
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, Driver

from hanse.core.run.exchange_protocol import MASKED as MASKED_PHASE
from hanse.core.run.exchange_protocol import PLAIN, Masked, MemberState, protocol_of
from hanse.core.run.exchange_protocol import READY as READY_PHASE
from hanse.core.run.hosting import check_sum
from hanse.core.run.lifecycle import Leave, Recover
from hanse.core.run.requests.commands import Commit, OpenExchange, RecordAggregate
from hanse.core.run.round_events import ExchangeClosed
from hanse.core.run.run import Phase
from hanse.core.run.sum_rules.starts import counted_at
from hanse.core.run.sums.commands import RecordSum
from hanse.core.run.sums.events import CellLeftOut
from hanse.core.run.tasks import FailTask, StartTask
from hanse.core.run.timing import Tick
from hanse.errors import RunError, WorkflowError

TWICE = {"train": masked_plan()["tasks"]["train"] | {"exchanges": 2}}


def closed(driver: MaskedDriver) -> ExchangeClosed:
    return next(event for event, _ in driver.history if isinstance(event, ExchangeClosed))


def left_out(driver: MaskedDriver) -> list[CellLeftOut]:
    return [event for event, _ in driver.history if isinstance(event, CellLeftOut)]


def test_the_protocol_follows_from_what_the_task_discloses() -> None:
    plan = MaskedDriver("leave_out").state.plan

    assert protocol_of(plan, "train") == Masked("leave_out")
    assert protocol_of(plan, "initialise") is PLAIN


def test_an_exchange_is_in_the_earliest_phase_of_a_cell_in_play() -> None:
    driver = MaskedDriver()
    phases = [driver.exchange.phase]
    for sites in ("abc", "def"):
        driver.ready(sites)
        phases.append(driver.exchange.phase)

    assert phases == [READY_PHASE, READY_PHASE, MASKED_PHASE]


def test_each_phase_waits_for_those_of_whom_it_lacks_something() -> None:
    driver = MaskedDriver()
    driver.ready("abcd")
    driver.masked("b")

    assert driver.exchange.awaited == ("a", "c", "e", "f")


def test_the_task_stays_with_a_member_that_has_answered_until_its_cell_is_complete() -> None:
    driver = MaskedDriver()
    driver.ready("abc")
    driver.masked("ab")
    before = driver.exchange.is_asked("a"), driver.exchange.may_answer("a")
    driver.masked("c")

    assert before == (True, False)
    assert not driver.exchange.is_asked("a")


def test_the_last_masked_vector_closes_the_exchange() -> None:
    driver = MaskedDriver()
    driver.complete("abc")

    assert driver.complete("def")[-1] == "ExchangeClosed"
    assert closed(driver).cause == "all"
    assert closed(driver).data is None, "no site states its number of examples"
    check_sum(driver.state.plan, driver.exchange)


def test_a_member_that_fails_fails_the_round_at_once_and_the_words_name_the_cell() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de", 2)

    driver.do(FailTask(1, "f", "no memory"))

    assert driver.state.phase is Phase.FAILED
    assert driver.state.reason == (
        "round 1, train: no masked sum: the cell south lacks 1 member (attempt 2: d began attempt 2): "
        "f: no memory; a masked sum is over all members of a cell, and by `incomplete: fail` over all "
        "cells; mend what the sites say and resume the run, or submit a plan with `incomplete: leave_out`"
    )


def test_a_member_that_leaves_ends_the_part_of_its_cell() -> None:
    driver = MaskedDriver("leave_out")
    driver.ready("ab")

    assert driver.do(Leave("a", "removed")) == ["SiteLeft", "CellLeftOut"]
    assert left_out(driver)[0].missing == ("a",)
    assert driver.exchange.failed == ("a", "b", "c")
    assert driver.exchange.members["b"].gone, "it has done nothing wrong"
    assert driver.exchange.members["b"].reason == "its cell north lacks a"


def test_the_other_cells_make_the_sum_where_one_is_left_out() -> None:
    driver = MaskedDriver("leave_out")
    driver.do(FailTask(1, "a", "no memory"))

    assert driver.complete("def")[-1] == "ExchangeClosed"
    assert (closed(driver).cause, closed(driver).answered) == ("all", ("d", "e", "f"))


def test_at_the_deadline_cells_that_lack_a_member_are_left_out() -> None:
    driver = MaskedDriver("leave_out")
    driver.complete("abc")
    driver.ready("de")

    assert driver.do(Tick(), after_s=100) == ["SiteIdle", "CellLeftOut", "ExchangeClosed"]
    assert closed(driver).cause == "deadline"
    assert closed(driver).missing == ("f",), "d and e have done their part"
    assert left_out(driver)[0].reason == "it lacks 1 member: no READY of f at the deadline"


def test_a_member_that_kept_its_cell_waiting_has_failed_a_round() -> None:
    driver = MaskedDriver("leave_out")
    driver.complete("abc")
    driver.ready("de")
    driver.do(Tick(), after_s=100)
    driver.record("north")
    driver.do(RecordAggregate(1, ("a", "b", "c"), 300, "5" * 64))
    driver.do(Commit(1, NEXT_MODEL))

    assert tuple(driver.state.failure_record.streaks) == ("f",)


def test_no_complete_cell_at_the_deadline_is_a_shortfall() -> None:
    driver = MaskedDriver("leave_out")
    driver.ready("abcd")

    assert driver.do(Tick(), after_s=100)[-1] == "RunFailed"
    assert not left_out(driver)
    assert "no masked sum within the deadline of 100 s: the cell north" in driver.state.reason
    assert (
        "0 of 6 sites are in whole cells, and 3 are needed, by `cohort: {minimum: 3, quorum: 0.5}`"
        in driver.state.reason
    )


def test_two_cells_that_lack_a_member_each_are_named_without_those_that_lack_them() -> None:
    driver = MaskedDriver("leave_out")
    driver.ready("abde")
    driver.do(FailTask(1, "c", "no memory"))

    driver.do(FailTask(1, "f", "no disk"))

    assert driver.state.phase is Phase.FAILED
    assert driver.state.reason.startswith(
        "round 1, train: no masked sum: the cell north lacks 1 member: c: no memory; "
        "the cell south lacks 1 member: f: no disk; without them 0 of 6 sites"
    )


def test_a_silent_member_is_waited_for_until_the_deadline() -> None:
    driver = MaskedDriver()
    driver.complete("abc")
    driver.ready("de")
    assert driver.do(Tick(), after_s=99) == ["SiteIdle"]

    assert driver.ready("f") == ["SiteReady"]
    assert driver.masked("def")[-1] == "ExchangeClosed"


def test_a_member_is_silent_only_from_the_moment_in_which_its_cell_waits_for_it() -> None:
    driver = MaskedDriver()
    driver.ready("ab")
    progress = {(1, site): 29_000 for site in "cdef"}
    driver.do(Tick(progress), after_s=29)
    driver.ready("c")

    assert driver.do(Tick(progress), after_s=2) == [], "a and b waited for c"


def test_a_cell_that_is_left_out_has_no_sum() -> None:
    driver = MaskedDriver("leave_out")
    driver.do(FailTask(1, "a", "no memory"))
    driver.complete("def")

    with pytest.raises(RunError, match="the cell north of exchange 1 is not complete and closed"):
        driver.record("north")


def test_a_sum_is_over_the_masked_vectors_that_came() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")
    standing = driver.exchange.sums["north"]
    command = RecordSum(1, "north", 1, standing.rho or "", dict(standing.masked), "5" * 64)

    for other in ({"attempt": 2}, {"rho": "7" * 64}, {"masked": {"a": "7" * 64}}):
        with pytest.raises(RunError):
            driver.do(replace(command, **other))
    assert driver.do(command) == ["SumOpened"]
    assert driver.do(command) == []


def test_a_cell_has_one_sum() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")
    driver.record("north")

    with pytest.raises(RunError, match="another sum already"):
        driver.record("north", "6" * 64)


def test_nothing_is_given_to_the_workflow_before_each_cell_has_its_sum() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")
    driver.record("north")

    with pytest.raises(RunError, match="lacks the sums of the cells south"):
        driver.do(RecordAggregate(1, tuple("abcdef"), 600, "5" * 64))


def test_a_workflow_cannot_choose_the_sites_of_a_masked_sum() -> None:
    driver = MaskedDriver()
    driver.complete("abcdef")

    with pytest.raises(WorkflowError):
        driver.do(OpenExchange(1, 1, "train", MODEL, sites=("a",)))


def test_a_simulation_has_no_keys_and_no_ready() -> None:
    driver = Driver("abcdef", **masked_plan()).in_round()
    driver.do(OpenExchange(1, 0, "train", MODEL))
    for site in "abcde":
        driver.accept(site)

    assert driver.accept("f") == ["UpdateAccepted", "ExchangeClosed"]


def test_a_restart_of_the_aggregator_leaves_who_is_ready() -> None:
    driver = MaskedDriver()
    driver.ready("ab")
    driver.do(StartTask(1, "c"))

    driver.do(Recover())

    assert driver.exchange.sites(MemberState.READY) == ("a", "b")
    assert driver.exchange.members["c"].state is MemberState.ASSIGNED
    assert driver.ready("c") == ["SiteReady"]


def test_a_task_starts_from_the_state_of_the_last_exchange_that_summed_its_cell() -> None:
    driver = MaskedDriver("leave_out", tasks=TWICE)
    driver.complete("abc")
    driver.ready("def")
    driver.masked("de")
    driver.do(Tick(), after_s=100)
    driver.record("north")
    driver.do(RecordAggregate(1, ("a", "b", "c"), 300, "5" * 64))
    driver.do(OpenExchange(1, 1, "train", MODEL))

    second = driver.state.exchanges[2]
    assert {site: counted_at(driver.state, second, site) for site in "abcdef"} == (
        dict.fromkeys("abc", 1) | dict.fromkeys("def", 0)
    )
