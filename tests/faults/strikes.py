"""Strikes a run at every step of the protocol that somebody takes, in as few runs as it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.processes import Step
from tests.faults.small_federation import SmallFederation
from tests.integration.deployment import Running

_ENDS = ("RunFinished", "RunFailed", "RunStopped")
_SUBMISSION = ("journal RunSubmitted", "POST /v1/runs by operator")

Where = Callable[[Step], bool]
Strike = Callable[[Step], None]


@dataclass
class Campaign:
    """A run after the other, each struck at steps at which none was before.

    Attributes:
        small_federation: The federation.
        plan: What is submitted.
        where: At which steps to strike.
        strike: What happens there.
        most: Strikes between two commits at most; None for no limit.
        struck: Names of the steps, in order.
        watched: What people were told, of each submission.
    """

    small_federation: SmallFederation
    plan: Path
    where: Where
    strike: Strike
    most: int | None = None
    struck: list[str] = field(default_factory=list)
    watched: list[Running] = field(default_factory=list)
    _left: int = 0
    _begun: bool = False

    def carry_out(self) -> None:
        """Submit the plan until no step is left at which nobody has struck yet."""
        while self._one_run():
            pass

    def _one_run(self) -> bool:
        """One run to its end; whether it was struck."""
        before = len(self.struck)
        self._renew()
        self._begun = False
        self.small_federation.gates.hold = self._holds
        self._submit()
        while not self._goes_on():
            pass
        self.small_federation.settle()
        self.watched[-1].ended()
        return len(self.struck) > before

    def _goes_on(self) -> bool:
        """Deal with the next process that is held at a gate; whether the run is over with that step."""
        arrival = self.small_federation.gates.next()
        assert arrival is not None, f"the run hangs after {self.struck[-3:]}"
        step = arrival.step
        if step.name in self.struck:
            if self.small_federation.party(step.who).pid != step.pid:  # it was killed while it stood here
                self.struck.remove(step.name)
            else:
                self.strike(step)
                self._submit_again_after(step)
        arrival.release()
        return ends(step)

    def _submit(self) -> None:
        self.watched.append(self.small_federation.begin(self.plan))

    def _submit_again_after(self, step: Step) -> None:
        """Do as people do whose submission was cut off, and who find that there is no run."""
        if not self._begun and is_submission(step):
            self.watched[-1].ended()
            self._submit()

    def _renew(self) -> None:
        self._left = 1_000_000 if self.most is None else self.most

    def _holds(self, step: Step) -> bool:
        if step.name.startswith("after journal RoundCommitted"):
            self._renew()
        if step.name.startswith("after journal RunSubmitted"):
            self._begun = True
        strikes = self._left > 0 and step.name not in self.struck and self.where(step)
        if strikes:
            self._left -= 1
            self.struck.append(step.name)
        return strikes or ends(step)


def ends(step: Step) -> bool:
    """Whether a run is over with this step."""
    return step.name.startswith("after journal ") and any(end in step.name for end in _ENDS)


def is_submission(step: Step) -> bool:
    """Whether an aggregator that dies here leaves whoever submits without an answer."""
    return step.what.startswith(_SUBMISSION)
