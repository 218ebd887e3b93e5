"""One exchange: a task asked of a cohort, who has answered, and when it closes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hanse.core.plan.cohort import Cohort
from hanse.core.run.round_events import ExchangeOpened, SiteIdle, TaskFailed, TaskStarted, UpdateAccepted
from hanse.core.run.run_events import RunRecovered, RunResumed, RunStarted, SiteLeft
from hanse.core.values.model_ref import ModelRef
from hanse.errors import TamperedError


class MemberState(StrEnum):
    """Where a site stands in an exchange."""

    ASSIGNED = "assigned"
    STARTED = "started"
    IDLE = "idle"
    ANSWERED = "answered"
    FAILED = "failed"


_A, _S, _I, _D, _F = MemberState

Restart = RunStarted | RunRecovered | RunResumed
MemberEvent = TaskStarted | SiteIdle | UpdateAccepted | TaskFailed | SiteLeft | Restart

MEMBER_TABLE: Mapping[type[MemberEvent], Mapping[MemberState, MemberState]] = {
    TaskStarted: {_A: _S, _I: _S},
    SiteIdle: {_A: _I, _S: _I},
    UpdateAccepted: {_A: _D, _S: _D, _I: _D},
    TaskFailed: {_A: _F, _S: _F, _I: _F},
    SiteLeft: {_A: _F, _S: _F, _I: _F},
    # The site may have died with the aggregator: its clock starts again.
    RunRecovered: {_S: _A, _I: _A},
    RunResumed: {_S: _A, _I: _A, _F: _A},
    # After a resumption that had to wait for sites to agree to the plan.
    RunStarted: {_S: _A, _I: _A, _F: _A},
}
"""Next state of a member, by event and present state; what is not listed leaves it as it is."""

AWAITED = frozenset({_A, _S})
"""States in which an exchange waits for a site."""
UNANSWERED = frozenset({_A, _S, _I})
"""States in which a site's answer would still be taken."""


@dataclass(frozen=True, slots=True)
class AcceptedResult:
    """What a site's accepted result said; the update itself is a blob."""

    num_examples: int
    metrics: Mapping[str, float]
    update: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """A site within an exchange.

    Attributes:
        state: Where it stands.
        since_ms: Since when.
        answer: Its accepted result.
        reason: Why it failed.
        gone: Whether it did not fail, but takes no part any more, or not now.
    """

    state: MemberState
    since_ms: int
    answer: AcceptedResult | None = None
    reason: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """A task asked of sites.

    Attributes:
        number: Within the run, counted from 1.
        round_number: Round whose committed predecessor made `model`.
        index: Place in its round; -1 in a stream.
        needed: Answers without which the round fails; 0 for none.
        clock_ms: When its deadline began to run.
        enough_ms: When the needed answers were there.
        order: Sites in the order in which their answers were accepted.
        closed: Why it closed; None while it is open.
        aggregated: Whether its sum was recorded.
    """

    number: int
    round_number: int
    index: int
    task: str
    model: ModelRef | None
    needed: int
    members: Mapping[str, Member]
    clock_ms: int
    enough_ms: int | None = None
    order: tuple[str, ...] = field(default=())
    closed: str | None = None
    aggregated: bool = False

    @staticmethod
    def opened(event: ExchangeOpened, quiet: frozenset[str], time_ms: int) -> Exchange:
        """An exchange as it begins; sites in `quiet` are asked but not waited for."""
        begin = {True: MemberState.IDLE, False: MemberState.ASSIGNED}
        return Exchange(
            number=event.exchange,
            round_number=event.round_number,
            index=event.index,
            task=event.task,
            model=event.model,
            needed=event.needed,
            members={site: Member(begin[site in quiet], time_ms) for site in event.cohort},
            clock_ms=time_ms,
        )

    def sites(self, *states: MemberState) -> tuple[str, ...]:
        """Members in any of these states, in site order."""
        return tuple(sorted(site for site, member in self.members.items() if member.state in states))

    @property
    def answered(self) -> tuple[str, ...]:
        """Sites whose results count."""
        return self.sites(MemberState.ANSWERED)

    @property
    def failed(self) -> tuple[str, ...]:
        """Sites whose task failed, or that left."""
        return self.sites(MemberState.FAILED)

    @property
    def awaited(self) -> tuple[str, ...]:
        """Sites that the exchange waits for."""
        return self.sites(*AWAITED)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Sites that could still answer, idle ones included."""
        return self.sites(*UNANSWERED)


def move(exchange: Exchange, event: MemberEvent, site: str, time_ms: int) -> Exchange:
    """Apply an event to one member.

    Raises:
        TamperedError: The exchange has no such member.
    """
    member = exchange.members.get(site)
    if member is None:
        raise TamperedError(
            f"{type(event).__name__} is of {site[:80]!r}, which exchange {exchange.number} did not ask"
        )
    state = MEMBER_TABLE[type(event)].get(member.state)
    if state is None:
        return exchange
    answer, reason, order, enough = member.answer, member.reason, exchange.order, exchange.enough_ms
    match event:
        case UpdateAccepted():
            answer = AcceptedResult(event.num_examples, event.metrics, event.update)
            order = (*order, site)
            if enough is None and len(order) >= exchange.needed:
                enough = time_ms
        case TaskFailed() | SiteLeft():
            reason = event.reason
        case SiteIdle():
            reason = f"no progress for {event.silent_s:.0f} s"
        case TaskStarted() | RunStarted() | RunRecovered() | RunResumed():
            reason = ""
    gone = isinstance(event, SiteLeft)
    members = {**exchange.members, site: Member(state, time_ms, answer, reason, gone)}
    return replace(exchange, members=members, order=order, enough_ms=enough)


def restart(exchange: Exchange, event: Restart, time_ms: int) -> Exchange:
    """Give an open exchange its whole time again."""
    if exchange.closed is not None:
        return exchange
    for site in exchange.members:
        exchange = move(exchange, event, site, time_ms)
    grace_from = None if exchange.enough_ms is None else time_ms
    return replace(exchange, clock_ms=time_ms, enough_ms=grace_from)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """An exchange that can no longer get the answers it needs."""

    reason: str


def deadline_ms(exchange: Exchange, cohort: Cohort) -> int:
    """When the exchange stops waiting, milliseconds since 1970."""
    return exchange.clock_ms + round(cohort.deadline * 1000)


def outcome(exchange: Exchange, cohort: Cohort, now_ms: int) -> str | Shortfall | None:
    """Whether an open exchange closes now: the cause, a shortfall, or None to go on waiting."""
    answered, failed = exchange.answered, exchange.failed
    overdue = now_ms >= deadline_ms(exchange, cohort)
    if len(answered) < exchange.needed:
        if len(exchange.members) - len(failed) < exchange.needed or overdue:
            return Shortfall(_shortfall(exchange, overdue, cohort))
        return None
    if not exchange.unanswered:
        return "all"
    if not exchange.awaited:
        return "idle"
    if overdue:
        return "deadline"
    if cohort.grace is not None and exchange.enough_ms is not None and exchange.needed:
        return "grace" if now_ms >= exchange.enough_ms + cohort.grace * 1000 else None
    return None


def _shortfall(exchange: Exchange, overdue: bool, cohort: Cohort) -> str:
    when = f" within the deadline of {cohort.deadline:g} s" if overdue else ""
    text = (
        f"round {exchange.round_number}, {exchange.task}: {len(exchange.answered)} of "
        f"{len(exchange.members)} sites answered{when}; {exchange.needed} are needed"
    )
    for site in (*exchange.failed, *exchange.unanswered):
        member = exchange.members[site]
        text += f"; {site}: {member.reason or member.state.value}"
    return text
