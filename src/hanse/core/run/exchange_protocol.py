"""Protocol of an exchange: its phases, the members that a phase waits for, and when the exchange closes.

An `Exchange` holds its protocol. `protocol_of` chooses the protocol from what the plan
discloses, when the exchange opens; everything else asks the exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from hanse.core.plan.cohort import Cohort
from hanse.core.plan.plan import Plan
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.sums.shortfall import sum_shortfall
from hanse.core.run.sums.standing import MASKED, READY, CellCounts, CellStanding
from hanse.core.values.wording import MOST_NAMED, and_more, named


class MemberState(StrEnum):
    """Where a site stands in an exchange."""

    ASSIGNED = "assigned"
    STARTED = "started"
    IDLE = "idle"
    ANSWERED = "answered"
    FAILED = "failed"
    READY = "ready"


MemberStates = frozenset[MemberState]

COLLECT = "collect"
"""The phase in which members send the results of their tasks."""


class MemberStanding(Protocol):
    """A member, as a protocol sees it."""

    @property
    def state(self) -> MemberState:
        """Where it stands."""

    @property
    def reason(self) -> str:
        """Why it failed or is no longer waited for."""


class ExchangeStanding(Protocol):
    """An exchange, as its protocol sees it; see `hanse.core.run.exchange.Exchange`."""

    @property
    def round_number(self) -> int:
        """The round it belongs to."""

    @property
    def task(self) -> str:
        """The task that was asked."""

    @property
    def needed(self) -> int:
        """Answers without which the round fails; 0 for none."""

    @property
    def without_examples(self) -> int:
        """Number of answers of sites that had no examples, and so give nothing to a sum."""

    @property
    def clock_ms(self) -> int:
        """When its deadline began to run."""

    @property
    def enough_ms(self) -> int | None:
        """When the needed answers were there."""

    @property
    def phase(self) -> str:
        """The phase of its protocol."""

    @property
    def members(self) -> Mapping[str, MemberStanding]:
        """The sites that were asked."""

    @property
    def sums(self) -> Mapping[str, CellStanding]:
        """Where each cell stands, in an exchange whose sums are masked."""

    @property
    def cells(self) -> CellCounts:
        """Numbers of those."""

    def count(self, states: MemberStates) -> int:
        """Number of members in any of these states; does not visit the members."""

    def sites(self, *states: MemberState) -> tuple[str, ...]:
        """Members in any of these states, in site order."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An exchange that can no longer get the answers it needs."""

    reason: str


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Cells that are lost have to be left out; at the deadline all that are not complete."""

    overdue: bool


Outcome = str | Shortfall | LeaveOut | None
"""The cause of a close, a shortfall, cells to leave out first, or None to wait."""


class ExchangeProtocol(Protocol):
    """Phases of an exchange and their ends.

    A value without state: what has happened is in the exchange. None of the methods may visit
    members, except to put a shortfall into words: they are called after each event.
    """

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases in order; an exchange begins in the first, and no event says so."""

    def phase_of(self, exchange: ExchangeStanding) -> str:
        """The phase that an exchange is in, by what has happened."""

    def awaited_states(self, phase: str) -> MemberStates:
        """States of the members that a phase waits for."""

    def answerable_states(self, phase: str) -> MemberStates:
        """States of the members whose answer would still be taken."""

    def deadline_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """When the exchange stops waiting, milliseconds since 1970."""

    def due_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """The first moment at which an open exchange can close by time alone."""

    def outcome(self, exchange: ExchangeStanding, rules: Cohort, now_ms: int) -> Outcome:
        """Decide whether an open exchange closes.

        What closes at one moment closes at each later one too, if no event happens in between.

        Returns:
            See `Outcome`.
        """


_ANSWERED = frozenset({MemberState.ANSWERED})
_FAILED = frozenset({MemberState.FAILED})
_AWAITED = frozenset({MemberState.ASSIGNED, MemberState.STARTED})
_ANSWERABLE = _AWAITED | {MemberState.IDLE}
_OF_MASKED = _ANSWERABLE | {MemberState.READY}


@dataclass(frozen=True, slots=True)
class Plain:
    """Each site sends its result by itself, and a result counts as soon as it is here: one phase.

    Attributes:
        summed: Whether only the sum of the answers is disclosed. Then the plan's minimum counts sites
            with examples: in a sum with one other of weight 0, a site's update is disclosed.
        weighs: Whether the sum needs examples; in totals without any, no site's data are.
    """

    summed: bool = False
    weighs: bool = True

    @property
    def phases(self) -> tuple[str, ...]:
        """See `ExchangeProtocol.phases`."""
        return (COLLECT,)

    def phase_of(self, exchange: ExchangeStanding) -> str:
        """See `ExchangeProtocol.phase_of`."""
        return COLLECT

    def awaited_states(self, phase: str) -> MemberStates:
        """See `ExchangeProtocol.awaited_states`."""
        return _AWAITED

    def answerable_states(self, phase: str) -> MemberStates:
        """See `ExchangeProtocol.answerable_states`."""
        return _ANSWERABLE

    def deadline_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """See `ExchangeProtocol.deadline_ms`."""
        return exchange.clock_ms + round(rules.deadline * 1000)

    def due_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """See `ExchangeProtocol.due_ms`."""
        deadline = self.deadline_ms(exchange, rules)
        if rules.grace is None or exchange.enough_ms is None or not exchange.needed:
            return deadline
        return min(deadline, exchange.enough_ms + int(rules.grace * 1000))

    def outcome(self, exchange: ExchangeStanding, rules: Cohort, now_ms: int) -> Outcome:
        """See `ExchangeProtocol.outcome`."""
        overdue = now_ms >= self.deadline_ms(exchange, rules)
        if (missing := self._missing(exchange, rules)) > 0:
            if exchange.count(_ANSWERABLE) < missing or overdue:
                return Shortfall(_shortfall(exchange, overdue, rules, summed=self.summed))
            return None
        if not exchange.count(_ANSWERABLE):
            return "all"
        if not exchange.count(_AWAITED):
            return "idle"
        if overdue:
            return "deadline"
        if rules.grace is not None and exchange.enough_ms is not None and exchange.needed:
            return "grace" if now_ms >= exchange.enough_ms + rules.grace * 1000 else None
        return None

    def _missing(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """Answers that still have to come before the exchange can close."""
        answered = exchange.count(_ANSWERED)
        if not self.summed or not exchange.needed:
            return exchange.needed - answered
        in_sum = _in_sum(answered, exchange.without_examples, weighs=self.weighs)
        return max(exchange.needed - answered, rules.minimum - in_sum)


def sites_in_sum(exchange: ExchangeStanding, *, weighs: bool) -> int:
    """Number of sites in a sum: those with examples; all, where none has any and nothing is weighed."""
    return _in_sum(exchange.count(_ANSWERED), exchange.without_examples, weighs=weighs)


def _in_sum(answered: int, without_examples: int, *, weighs: bool) -> int:
    with_examples = answered - without_examples
    return answered if not with_examples and not weighs else with_examples


@dataclass(frozen=True, slots=True)
class Masked:
    """Sums over whole cells: READYs of all members of a cell, then the masked vector of each.

    A cell without all of its members has no sum, and the members that are silent are waited for until the
    deadline: a grace period would lose all that the others sent.

    Attributes:
        incomplete: What becomes of a cell that lacks a member: the exchange falls short, or the cell is
            left out.
    """

    incomplete: Literal["fail", "leave_out"] = "fail"

    @property
    def phases(self) -> tuple[str, ...]:
        """See `ExchangeProtocol.phases`."""
        return (READY, MASKED)

    def phase_of(self, exchange: ExchangeStanding) -> str:
        """The earliest phase of a cell that is not over."""
        return READY if exchange.cells.rostered < exchange.cells.unfinished else MASKED

    def awaited_states(self, phase: str) -> MemberStates:
        """States of members that some cell may wait for; `Exchange.awaited` has those that it does."""
        return _AWAITED | {MemberState.READY}

    def answerable_states(self, phase: str) -> MemberStates:
        """See `ExchangeProtocol.answerable_states`."""
        return _OF_MASKED

    def deadline_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """See `ExchangeProtocol.deadline_ms`."""
        return exchange.clock_ms + round(rules.deadline * 1000)

    def due_ms(self, exchange: ExchangeStanding, rules: Cohort) -> int:
        """See `ExchangeProtocol.due_ms`."""
        return self.deadline_ms(exchange, rules)

    def outcome(self, exchange: ExchangeStanding, rules: Cohort, now_ms: int) -> Outcome:
        """See `ExchangeProtocol.outcome`."""
        counts, overdue = exchange.cells, now_ms >= self.deadline_ms(exchange, rules)
        if self._short(exchange, overdue):
            return Shortfall(self._in_words(exchange, rules, overdue))
        if not counts.unfinished:
            return "deadline" if overdue and counts.left_out else "all"
        return LeaveOut(overdue) if overdue or counts.lost else None

    def _short(self, exchange: ExchangeStanding, overdue: bool) -> bool:
        counts = exchange.cells
        lacking = counts.unfinished if overdue else counts.lost
        if self.incomplete == "fail" and lacking:
            return True
        reached = counts.sites_complete if overdue else counts.sites - counts.sites_out
        return reached < max(exchange.needed, 1)

    def _in_words(self, exchange: ExchangeStanding, rules: Cohort, overdue: bool) -> str:
        lacking = [s for s in exchange.sums.values() if s.lost or s.left_out or (overdue and not s.complete)]
        fix = "mend what the sites say and resume the run"
        if self.incomplete == "fail":
            why = (
                "a masked sum is over all members of a cell, and by `incomplete: fail` over all cells; "
                f"{fix}, or submit a plan with `incomplete: leave_out`"
            )
        else:
            counts = exchange.cells
            reached = counts.sites_complete if overdue else counts.sites - counts.sites_out
            rule = f"`cohort: {{minimum: {rules.minimum}, quorum: {rules.quorum:g}}}`"
            why = (
                f"without them {reached} of {counts.sites} sites are in whole cells, and "
                f"{max(exchange.needed, 1)} are needed, by {rule}; {fix}"
            )
        when = f" within the deadline of {rules.deadline:g} s" if overdue else ""
        place = f"round {exchange.round_number}, {exchange.task}"
        return sum_shortfall(place, lacking, exchange.members, when, why)


PLAIN = Plain()
SUMMED = Plain(summed=True)
TOTALLED = Plain(summed=True, weighs=False)


_BY_AGGREGATION: Mapping[str | None, ExchangeProtocol] = {None: PLAIN, "aggregator": SUMMED}
"""Protocol by who sums, where the plan says so; without a sum the aggregator sees each update anyhow."""


def protocol_of(plan: Plan, task: str) -> ExchangeProtocol:
    """The protocol by which a task of the plan is exchanged, chosen by what the task discloses.

    Raises:
        KeyError: The task discloses its sum by a way that this version has no protocol for; no plan
            of this version can say so.
    """
    section = plan.privacy.secure_aggregation
    if section is not None and masks(plan, task):
        return Masked(section.incomplete)
    found = None if task == INITIALISE else plan.tasks.get(task)
    protocol = _BY_AGGREGATION[None if found is None else found.discloses.aggregated_by]
    return TOTALLED if protocol is SUMMED and found is not None and not found.discloses.weighs else protocol


_IN_WORDS: Mapping[MemberState, str] = {
    MemberState.ASSIGNED: "had not begun",
    MemberState.STARTED: "had begun, and did not answer",
    MemberState.IDLE: "was silent",
    MemberState.FAILED: "failed",
}
"""Members without an answer, where no reason is known."""


def _shortfall(exchange: ExchangeStanding, overdue: bool, cohort: Cohort, *, summed: bool) -> str:
    when = f" within the deadline of {cohort.deadline:g} s" if overdue else ""
    text = (
        f"round {exchange.round_number}, {exchange.task}: {exchange.count(_ANSWERED)} of "
        f"{len(exchange.members)} sites answered{when}; {exchange.needed} are needed"
    )
    if summed and exchange.without_examples:
        line = f"`cohort: {{minimum: {cohort.minimum}}}`"
        text += (
            f"; {exchange.without_examples} had no examples; by {line} a sum needs {cohort.minimum} with "
            "examples: check the data sources of the sites"
        )
    absent = (*exchange.sites(*_FAILED), *exchange.sites(*_ANSWERABLE))
    reasons, failed = [], dict[str, list[str]]()
    for site in absent[:MOST_NAMED]:
        member = exchange.members[site]
        if member.reason:  # many sites may have the same
            failed.setdefault(member.reason.removesuffix("."), []).append(site)
        else:
            reasons.append(f"{site}: {_IN_WORDS[member.state]}")
    told = [f"{named(sites)}: {reason}" for reason, sites in failed.items()]
    return "; ".join([text, *told, *reasons, *and_more(absent, MOST_NAMED)[MOST_NAMED:]])
