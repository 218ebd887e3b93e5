"""Schedules of faults over a small real federation leave everything as it has to be.

The bounded form of `make soak`: each kind of fault once, and a few seeds.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.carry_out import carry_out
from tests.faults.faults import FAULTS
from tests.faults.invariants import check_everything, check_what_was_told
from tests.faults.processes import Arrival, Step
from tests.faults.schedule import FOR_AGGREGATOR, FOR_ANYBODY, FOR_SITES, PLANS, SITES, Fault, Schedule, draw
from tests.faults.small_federation import SmallFederation, in_small_federation
from tests.faults.strikes import ends
from tests.thorough import sample

from hanse.core.run.round_events import ExchangeClosed, ResultRefused

pytestmark = pytest.mark.timeout(500)

SEEDS = (3, 1009, 757389, 324070)
"""Of a schedule with many faults, of one that ends its run, and of those that found something."""

BY_TRANSFERS = ("cut up", "cut down", "reset up", "reset down", "hole", "slow")
"""What shows where a transfer takes long."""

AT_ONCE = 6
"""Runs that share the faults of one of these lists; each kind in a run of its own would take minutes."""


@pytest.fixture(scope="module")
def small_federation() -> Iterator[SmallFederation]:
    with in_small_federation(*SITES, mallory=True) as small_federation:
        yield small_federation


def at_the_aggregator() -> Iterator[Fault]:
    kinds = (*FOR_ANYBODY, *FOR_AGGREGATOR)
    for kind in kinds[:AT_ONCE]:
        yield Fault(kind, "aggregator", "before", "journal UpdateAccepted", skip=1, part=0.4)
    for kind in kinds[AT_ONCE:]:  # among them what may end the run
        yield Fault(kind, "aggregator", "after", "journal RoundCommitted", skip=1, part=0.4)


def at_a_site() -> Iterator[Fault]:
    for place, kind in enumerate(FOR_ANYBODY):
        yield Fault(kind, "a", "after", "order train", skip=place // AT_ONCE, part=0.4)


def on_the_way() -> Iterator[Fault]:
    for place, kind in enumerate(kind for kind in FOR_SITES if kind not in BY_TRANSFERS):
        yield Fault(kind, "b", "after", "journal ExchangeOpened", skip=1 + place // AT_ONCE, part=0.4)


def in_transfers() -> Iterator[Fault]:
    for kind in BY_TRANSFERS:
        who = "a" if kind.startswith(("cut", "reset")) else "b"
        yield Fault(kind, who, "before", "GET /v1/uploads", skip=1, part=0.4)


def one_of_each() -> Iterator[Schedule]:
    lists = [list(faults) for faults in (at_the_aggregator(), at_a_site(), on_the_way())]
    for place in range(AT_ONCE):
        yield Schedule(place, "small", tuple(fault for faults in lists for fault in faults[place::AT_ONCE]))
    yield Schedule(AT_ONCE, "large", tuple(in_transfers()))


def test_every_kind_of_fault_is_among_them() -> None:
    assert {fault.kind for schedule in one_of_each() for fault in schedule.faults} == FAULTS.keys()


@pytest.mark.parametrize(
    "schedule", list(one_of_each()), ids=lambda one: ", ".join(fault.kind for fault in one.faults)
)
def test_each_kind_of_fault_leaves_everything_as_it_has_to_be(
    small_federation: SmallFederation, tmp_path: Path, schedule: Schedule
) -> None:
    outcome = carry_out(small_federation, schedule, tmp_path)

    assert not outcome.missed


@pytest.mark.parametrize("seed", sample(list(SEEDS), 2))
def test_a_seed_leaves_everything_as_it_has_to_be(
    small_federation: SmallFederation, tmp_path: Path, seed: int
) -> None:
    assert carry_out(small_federation, draw(seed), tmp_path).ended


def test_a_schedule_is_its_seeds() -> None:
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]
    assert len({draw(seed).faults for seed in range(50)}) == 50


LAST_WORD = "before POST /v1/results by b"
AWAITED = {
    "after report train 1 at a": LAST_WORD,
    LAST_WORD: "ExchangeClosed exchange=2",
    "before call sum 2 train": "ResultRefused",
    "before order train 2 at a": "UpdateAccepted exchange=4 site=b",
}
"""Who has to wait for which step, so that a site's answer comes a round late, however slow the site is."""


def test_a_site_that_vanishes_and_returns_with_an_old_round_is_told_so_and_joins_the_next(
    small_federation: SmallFederation, tmp_path: Path
) -> None:
    plan = small_federation.federation.plan(**PLANS["partial"])
    passed, waiting = small_federation.gates.passed, list[Arrival]()
    trained = "after report train 1 at b"
    already = passed.count(trained)

    def hold(step: Step) -> bool:
        if step.name == LAST_WORD:
            return passed.count(trained) > already
        return step.name in AWAITED or any(what in step.name for what in AWAITED.values()) or ends(step)

    def may_go_on(arrival: Arrival) -> bool:
        what = AWAITED.get(arrival.step.name)
        return what is None or any(what in name for name in passed[begin:])

    begin = len(passed)
    small_federation.gates.hold = hold
    watched = small_federation.begin(plan)
    over = False
    while not over:
        arrival = small_federation.gates.next()
        assert arrival is not None, f"it hangs after {passed[-3:]}"
        over = ends(arrival.step)
        if arrival.step.name == LAST_WORD and not may_go_on(arrival):
            small_federation.party("b").send(signal.SIGSTOP)  # with its answer under way
        waiting.append(arrival)
        for each in [each for each in waiting if may_go_on(each)]:
            waiting.remove(each)
            each.release()
            if each.step.name == LAST_WORD:
                small_federation.party("b").send(signal.SIGCONT)
    small_federation.settle()

    run = small_federation.federation.runs()[0]
    check_what_was_told(watched, [run])
    check_everything(small_federation, plan, tmp_path, last=1)
    closed = {event.exchange: event for event in run.events if isinstance(event, ExchangeClosed)}
    refused = [event for event in run.events if isinstance(event, ResultRefused)]
    assert closed[2].answered == ("a",)
    assert [(event.exchange, event.site, event.error) for event in refused] == [(2, "b", "late")]
    assert "b" in closed[4].answered
    assert "train of round 1: the result is discarded" in small_federation.party("b").log.read_text()
