"""Carries out a schedule of faults against a federation, and checks what must hold afterwards."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.faults import FAULTS, Passing
from tests.faults.invariants import CUT_OFF, check_everything, check_refusal, check_what_was_told
from tests.faults.processes import Arrival, Step
from tests.faults.schedule import PLANS, Fault, Schedule
from tests.faults.small_federation import SmallFederation
from tests.faults.strikes import ends, is_submission
from tests.integration.deployment import Run, Running

PATIENCE_S = 240.0
"""How long a run may take in all, whatever befalls it; the machine may be busy."""
_OF_DISKS = ("disk full", "read-only", "journal locked", "blob damaged")
"""Faults for which nothing can begin, and the one who submits is told so."""


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule that left everything as it has to be.

    Attributes:
        ended: How each run ended, before it was taken up again where that was needed.
        missed: Faults that did not strike, because their steps did not come.
    """

    ended: tuple[str, ...]
    missed: tuple[str, ...]

    def __str__(self) -> str:
        missed = f"; did not strike: {'; '.join(self.missed)}" if self.missed else ""
        return ", ".join(self.ended) + missed


@dataclass
class _Battle:
    """A schedule that is being carried out."""

    small_federation: SmallFederation
    schedule: Schedule
    plan: Path
    watched: list[Running] = field(default_factory=list)
    refused: list[Running] = field(default_factory=list)
    struck: list[Fault] = field(default_factory=list)
    _lasting: list[tuple[float, Passing]] = field(default_factory=list)
    _met: Counter[Fault] = field(default_factory=Counter)
    _due: list[Fault] = field(default_factory=list)
    _begun: bool = False

    def fight(self) -> None:
        """Submit the plan, strike where the schedule says, and wait for the run's end."""
        self._due = list(self.schedule.faults)
        self.small_federation.gates.hold = self._holds
        try:
            self._submit()
            self._until_over()
        finally:
            self._let_pass(float("inf"))
        self.small_federation.settle()

    @property
    def missed(self) -> tuple[str, ...]:
        """The faults whose steps did not come."""
        return tuple(str(fault) for fault in self.schedule.faults if fault not in self.struck)

    def _until_over(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        over = False
        while not over:
            assert time.monotonic() < deadline, f"it hangs; of {self.schedule} struck: {self.struck}"
            arrival = self.small_federation.gates.next(self._until_something_passes())
            self._let_pass(time.monotonic())
            over = arrival is not None and self._meet(arrival)
            if arrival is None and not self._begun and not self.watched[-1].runs:
                self._submit_again_after_refusal()

    def _submit_again_after_refusal(self) -> None:
        """Do as people do whom a disk does not let begin a run: they mend it, and submit again."""
        last = self.watched[-1]
        if last.ended() != CUT_OFF:
            assert any(fault.kind in _OF_DISKS for fault in self.struck), last.log.read_text()
            self.refused.append(last)
        self._let_pass(float("inf"))
        self._submit()

    def _meet(self, arrival: Arrival) -> bool:
        step = arrival.step
        for fault in [fault for fault in self._due if self._is_next(fault, step)]:
            self._due.remove(fault)
            self.struck.append(fault)
            if (passing := FAULTS[fault.kind](self.small_federation, fault)) is not None:
                self._lasting.append((time.monotonic() + passing.seconds, passing))
        arrival.release()
        if not self._begun and is_submission(step) and self._aggregator_died(step):
            self.watched[-1].ended()
            self._submit()
        return ends(step)

    def _is_next(self, fault: Fault, step: Step) -> bool:
        return fault.meets(step) and self._met[fault] > fault.skip

    def _holds(self, step: Step) -> bool:
        self._begun |= step.name.startswith("after journal RunSubmitted")
        met = [fault for fault in self._due if fault.meets(step)]
        self._met.update(met)
        return ends(step) or is_submission(step) or any(self._met[fault] > fault.skip for fault in met)

    def _aggregator_died(self, step: Step) -> bool:
        return self.small_federation.party("aggregator").pid != step.pid

    def _submit(self) -> None:
        self.watched.append(self.small_federation.begin(self.plan))

    def _until_something_passes(self) -> float:
        soonest = min((when for when, _ in self._lasting), default=float("inf"))
        return min(max(soonest - time.monotonic(), 0.0), 5.0)

    def _let_pass(self, until: float) -> None:
        for entry in sorted(self._lasting, key=lambda entry: entry[0]):
            if entry[0] <= until:
                self._lasting.remove(entry)
                entry[1].undo()


def carry_out(small_federation: SmallFederation, schedule: Schedule, folder: Path) -> Outcome:
    """Carry out a schedule, take the run up again where a fault ended it, and check everything."""
    small_federation.large = schedule.plan == "large"
    plan = small_federation.federation.plan(**PLANS[schedule.plan], seed=schedule.seed)
    before = {run.run_id for run in small_federation.federation.runs()}
    battle = _Battle(small_federation, schedule, plan)
    battle.fight()
    for name in small_federation.federation.sites:
        assert small_federation.party(name).runs, (
            f"the agent of {name} has ended: {small_federation.party(name).log.read_text()}"
        )
    runs = [run for run in small_federation.federation.runs() if run.run_id not in before]
    ended = tuple(f"{run.run_id} {run.over().phase}" for run in runs)
    assert len(runs) <= len(battle.watched) - len(battle.refused), "a run began that was refused"
    for watched in battle.watched:
        if watched in battle.refused:
            check_refusal(watched)
        else:
            check_what_was_told(watched, runs)
    for run in runs:
        _finish(run)
    check_everything(small_federation, plan, folder, last=len(runs))
    return Outcome(ended, battle.missed)


def _finish(run: Run) -> None:
    """Take a run up again that a fault has ended; now that it has passed, the run has to finish."""
    if run.over().phase != "finished":
        run.resume()
        run.finished()
