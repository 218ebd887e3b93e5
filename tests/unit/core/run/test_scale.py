"""What the state of a run costs with many sites, and that what it counts along the way is a recount."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.call_counts import calls
from tests.thorough import examples
from tests.unit.core.run.commands import COHORT, HISTORIES, SITES
from tests.unit.core.run.runs import MODEL, UPDATE, Driver

from hanse.core.run.decide import Command, steps
from hanse.core.run.exchange import count_states
from hanse.core.run.lifecycle import AnswerPlan, Invite, Leave
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.run.run import Run
from hanse.core.run.tasks import AcceptResult, FailTask, RefuseResult, StartTask
from hanse.errors import HanseError

FEW, MANY = 8, 512


def fleet(size: int) -> list[str]:
    return [f"site-{number:05}" for number in range(size)]


class Fleet(Driver):
    """A run of so many sites, in which a task has been asked of all."""

    def __init__(self, size: int, *, stream: bool = False) -> None:
        self.sites = fleet(size)
        super().__init__(self.sites, cohort={"quorum": 0.5})
        self.started()
        self.do(OpenRound(0))
        self.do(Commit(0, MODEL))
        if stream:
            self.do(OpenStream("train", MODEL))
        else:
            self.do(OpenRound(1))
            self.do(OpenExchange(1, 0, "train", MODEL))

    def number(self, place: int) -> int:
        """The exchange that asks the site at a place."""
        return self.state.exchanges.waiting_with(self.sites[place])[0].number


def answered(fleet: Fleet) -> Command:
    return AcceptResult(fleet.number(3), fleet.sites[3], 10, {}, UPDATE)


OF_ONE_SITE: dict[str, Callable[[Fleet], Command]] = {
    "a task starts": lambda fleet: StartTask(fleet.number(3), fleet.sites[3]),
    "a task fails": lambda fleet: FailTask(fleet.number(3), fleet.sites[3], "no memory"),
    "a result is accepted": answered,
    "a result is refused": lambda fleet: RefuseResult(fleet.number(3), fleet.sites[3], "update", "bad"),
    "a site leaves": lambda fleet: Leave(fleet.sites[3], "removed"),
    "a site joins": lambda fleet: Invite("another"),
    "a site withdraws": lambda fleet: AnswerPlan(fleet.sites[3], accepted=False),
}


@pytest.mark.parametrize("stream", [False, True], ids=["round", "stream"])
@pytest.mark.parametrize("command", OF_ONE_SITE.values(), ids=OF_ONE_SITE.keys())
def test_what_one_site_does_costs_the_same_with_many_sites(
    command: Callable[[Fleet], Command], stream: bool
) -> None:
    costs = []
    for size in (FEW, MANY):
        run = Fleet(size, stream=stream)
        asked = command(run)
        costs.append(calls(lambda run=run, asked=asked: steps(run.state, asked, 1)))  # type: ignore[misc]

    few, many = costs
    assert many < few + 20, "the cost grows with the number of sites"


def test_an_answer_to_the_plan_costs_the_same_with_many_sites() -> None:
    costs = []
    for size in (FEW, MANY):
        run = Driver(fleet(size))
        costs.append(calls(lambda run=run: steps(run.state, AnswerPlan("site-00003", True), 1)))  # type: ignore[misc]

    few, many = costs
    assert many < few + 20, "the cost grows with the number of sites"


# ------------------------------------------------------------- counted on the way


def must_be_a_recount(run: Run, now_ms: int) -> None:
    """Hold all that a run keeps besides against what a look at all sites gives."""
    assert run.population == tuple(sorted(s for s, yes in run.answers.items() if yes and s not in run.left))
    assert run.unanswered == tuple(
        s for s in sorted(run.invited) if s not in run.answers and s not in run.left
    )
    exchanges, rules = run.exchanges, run.plan.cohort
    still_open = {number for number, e in exchanges.items() if e.closed is None}
    assert exchanges.open == still_open
    assert {e.number for e in exchanges.to_settle(now_ms)} >= {
        number for number in still_open if exchanges[number].outcome(rules, now_ms) is not None
    }
    if still_open:
        assert exchanges.due_ms is not None
        assert exchanges.due_ms <= min(exchanges[number].due_ms(rules) for number in still_open)
    for exchange in exchanges.values():
        assert exchange.counts == count_states(exchange.members)
        assert exchange.num_answered == len([m for m in exchange.members.values() if m.answer is not None])
        assert (exchange.first is None) == (exchange.num_answered == 0)
    for site in SITES:
        asked = [e for e in exchanges.values() if e.closed is None and site in e.members]
        assert exchanges.waiting_with(site) == tuple(sorted(asked, key=lambda e: e.number))
        for exchange in asked:
            here = site in run.population and site not in run.failure_record.suspensions
            assert here or not exchange.may_answer(site) or site in run.absent


@settings(max_examples=examples(300), deadline=None)
@given(
    cohort=st.sampled_from([COHORT, {**COHORT, "quorum": 1.0, "grace": None}]),
    begin=st.booleans(),
    commands=HISTORIES,
)
def test_what_is_counted_along_the_way_is_a_recount(
    cohort: dict[str, Any], begin: bool, commands: list[tuple[Command, int]]
) -> None:
    driver = Driver(SITES, cohort=cohort, rounds=3)
    if begin:
        driver.asked()
    for command, after_s in commands:
        try:
            driver.do(command, after_s=after_s)
        except HanseError:
            continue
        must_be_a_recount(driver.state, driver.now_ms)


# ----------------------------------------------------------------- order

SCENARIO = """
import sys
from hanse.core.run.decide import Command
from hanse.core.run.lifecycle import AnswerPlan, Leave, Recover
from hanse.core.run.tasks import AcceptResult, FailTask, StartTask
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream
from hanse.core.values.canonical import canonical_json
from hanse.storage.journal_memory import MemoryJournal
from hanse.storage.journaled_run import JournaledRun
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, submit

cohort = {"deadline": 100, "idle_limit": 30, "approvals": 500, "quorum": 0.2, "set_aside_after": 1}
sites = [f"site-{n}" for n in range(30)]
journal = MemoryJournal()
run = JournaledRun(journal, "demo-1")
commands = [submit(sites, cohort=cohort, rounds=3)]
commands += [AnswerPlan(site, accepted=site != "site-7") for site in sites]
commands += [OpenRound(0), Commit(0, MODEL), OpenRound(1), OpenExchange(1, 0, "train", MODEL)]
commands += [FailTask(1, site, "no memory") for site in sites[20:]] + [Leave("site-3", "removed"), Recover()]
commands += [StartTask(1, site) for site in sites[10:20] if site != "site-7"]
commands += [AcceptResult(1, site, 10, {}, UPDATE) for site in sites[:20] if site not in ("site-3", "site-7")]
commands += [Commit(1, NEXT_MODEL), OpenStream("train", NEXT_MODEL), Leave("site-9", "removed")]
for number, command in enumerate(commands):
    run.execute(command, number)
assert JournaledRun(journal, "demo-1").run == run.run
for record in journal.read("demo-1"):
    sys.stdout.buffer.write(canonical_json(record.as_json()) + b"\\n")
"""


def test_a_journal_has_the_same_bytes_however_strings_are_hashed() -> None:
    written = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[4])}
        done = subprocess.run(
            [sys.executable, "-c", SCENARIO], env=environment, capture_output=True, check=True
        )
        assert b"SiteSuspended" in done.stdout
        written.add(hashlib.sha256(done.stdout).hexdigest())

    assert len(written) == 1
