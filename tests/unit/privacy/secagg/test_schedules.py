"""Whole sums in virtual time: members are killed between any two steps, and the sum is right or not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.masked_sums import Member, Site, cell_plan, masked, member, verify

from hanse.core.values.canonical import sha256
from hanse.core.values.sums.ready import READY
from hanse.errors import AttemptError, LateResultError
from hanse.privacy.secagg.aggregator import CellSum, OpenSum, take_masked, take_ready
from hanse.privacy.secagg.cells import EarlierRoster
from hanse.privacy.secagg.context import commitment
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.site import MaskedVector, SumHistory
from hanse.privacy.secagg.site_steps import (
    Asked,
    AskPerson,
    Event,
    Fail,
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

NAMES = "abcd"
MEMBERS = [member(name) for name in NAMES]
SALT = bytes(range(32))


class Machine:
    """A site with a disk, which can be killed after any instruction."""

    def __init__(self, own: Member, world: World) -> None:
        self.own, self.world = own, world
        self.q: Words = np.arange(5, dtype="<u4") * np.uint32(int(own.fingerprint[:8], 16))
        self.commitment = commitment(SALT, sha256(self.q.tobytes()))
        self.history, self.rosters, self.files = SumHistory(), list[EarlierRoster](), dict[str, Words]()
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Begin from the disk alone."""
        self.starts += 1
        self.site = Site(self.own, MEMBERS, self.history, commitment=self.commitment)
        self.site.random = np.random.default_rng([self.starts, int(self.own.fingerprint[:8], 16)]).bytes

    def take(self, event: Event, steps: int) -> int:
        """Take an event and what follows from it; killed when no steps are left, which is below 0."""
        waiting: list[Any] = [*self.site.take(event)]
        while waiting:
            if steps == 0:
                self.start()
                return -1
            steps -= 1
            for following in self._carry_out(waiting.pop(0)):
                waiting += self.site.take(following)
        return steps

    def _carry_out(self, instruction: Any) -> list[Event]:
        world, history = self.world, self.history
        match instruction:
            case RecordReady(body):
                assert body.attempt > history.last
                self.history = replace(history, last=body.attempt)
            case SendReady(body):
                return world.ready(self.own.key.sign(READY, body.model_dump()), body.attempt)
            case FetchRoster():
                return [RosterCame(tuple(world.cell.ready.values()), tuple(self.rosters))]
            case RecordRoster(signers=signers, commitments=commitments):
                self.rosters.append(EarlierRoster("ab" * 32, "all", signers))
                if not history.commitments:
                    self.history = replace(history, commitments=commitments, signers=signers)
            case WriteMasked(rho=rho, keys=keys):
                self.files[rho] = masked(self.q, keys)
                again = commitment(SALT, sha256(self.q.tobytes()))
                return [MaskWritten(rho, sha256(self.files[rho].tobytes()), again)]
            case RecordMasked(attempt, rho, digest):
                self.history = replace(history, masked={**history.masked, rho: MaskedVector(attempt, digest)})
            case SendMasked(attempt, rho, digest):
                world.masked(self, attempt, rho, digest)
            case Fail() | AskPerson():
                raise AssertionError(instruction)
        return []


class World:
    """An honest aggregator and four machines."""

    def __init__(self) -> None:
        self.cell, self.opened = CellSum(cell_plan(MEMBERS)), list[OpenSum]()
        self.sent: dict[tuple[str, str], set[str]] = {}
        self.machines = [Machine(own, self) for own in MEMBERS]

    def ready(self, statement: Any, attempt: int) -> list[Event]:
        try:
            self.cell, _ = take_ready(self.cell, statement, verify)
        except AttemptError:
            return [Asked(max(attempt + 1, self.cell.attempt))]
        return []

    def masked(self, machine: Machine, attempt: int, rho: str, digest: str) -> None:
        self.sent.setdefault((machine.own.name, rho), set()).add(digest)
        try:
            self.cell, made = take_masked(self.cell, machine.own.name, attempt, rho, digest)
        except LateResultError:
            return
        self.opened += [one for one in made if isinstance(one, OpenSum)]

    def ask(self, machine: Machine, steps: int) -> None:
        if not self.opened and machine.own.name not in self.cell.masked:
            machine.take(Asked(self.cell.attempt, self.cell.rho), steps)

    def settle(self) -> None:
        """Ask all until the sum is there, with no faults any more."""
        for _ in range(20):
            for machine in self.machines:
                self.ask(machine, 1000)

    def check(self) -> None:
        (opened,) = self.opened
        total: Words = np.zeros(5, "<u4")
        for machine in self.machines:
            y = machine.files[opened.rho]
            assert sha256(y.tobytes()) == opened.masked[machine.own.name]
            total += y
        assert np.array_equal(total, np.sum([m.q for m in self.machines], axis=0, dtype="<u4"))
        assert all(len(digests) == 1 for digests in self.sent.values())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_members_that_are_killed_after_any_step_end_in_the_right_sum(faults: list[tuple[int, int]]) -> None:
    world = World()
    for who, steps in faults:
        world.ask(world.machines[who], steps)
    world.settle()

    world.check()


def test_each_step_of_each_member_can_be_the_last_before_a_kill() -> None:
    reached = set[int]()
    for who in range(4):
        for first in range(5):
            for second in range(5):
                world = World()
                for machine in world.machines:
                    world.ask(machine, first if machine is world.machines[who] else 1000)
                for machine in world.machines:
                    world.ask(machine, second if machine is world.machines[who] else 1000)
                world.settle()
                world.check()
                reached.add(world.cell.attempt)

    assert reached >= {1, 2, 3}


def test_a_folder_from_before_the_ready_takes_the_next_number_with_the_same_q() -> None:
    world = World()
    for machine in world.machines:
        world.ask(machine, 2)
    world.machines[0].history = SumHistory()
    world.machines[0].start()
    world.settle()

    world.check()
    assert world.cell.attempt == 2
