"""One exchange: a task asked of a cohort, where each site stands, and who has answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hanse.core.plan.cohort import Cohort
from hanse.core.run.exchange_protocol import ExchangeProtocol, MemberState, Outcome
from hanse.core.run.round_events import ExchangeOpened, SiteIdle, TaskFailed, TaskStarted, UpdateAccepted
from hanse.core.run.run_events import RunRecovered, RunResumed, RunStarted, SiteLeft
from hanse.core.run.sums.events import SiteReady
from hanse.core.run.sums.standing import NO_CELLS, CellCounts, CellStanding
from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.roster import Roster
from hanse.core.values.sorted_map import SortedMap
from hanse.core.values.update import ReportedMetrics
from hanse.errors import TamperedError

_A, _S, _I, _D, _F, _R = MemberState
_PLACE: Mapping[MemberState, int] = {state: place for place, state in enumerate(MemberState)}

Restart = RunStarted | RunRecovered | RunResumed
MemberEvent = TaskStarted | SiteIdle | SiteReady | UpdateAccepted | TaskFailed | SiteLeft | Restart

MEMBER_TABLE: Mapping[type[MemberEvent], Mapping[MemberState, MemberState]] = {
    TaskStarted: {_A: _S, _I: _S},
    SiteIdle: {_A: _I, _S: _I, _R: _I},
    SiteReady: {_A: _R, _S: _R, _I: _R},
    UpdateAccepted: {_A: _D, _S: _D, _I: _D, _R: _D},
    TaskFailed: {_A: _F, _S: _F, _I: _F, _R: _F},
    SiteLeft: {_A: _F, _S: _F, _I: _F, _R: _F},
    # The site may have died with the aggregator: its clock starts again.
    RunRecovered: {_S: _A, _I: _A},
    RunResumed: {_S: _A, _I: _A, _F: _A},
    # After a resumption that had to wait for sites to agree to the plan.
    RunStarted: {_S: _A, _I: _A, _F: _A},
}
"""Next state of a member, by event and present state; what is not listed leaves it as it is."""


@dataclass(frozen=True, slots=True)
class AcceptedResult:
    """What a site's accepted result said; the update itself is a blob."""

    num_examples: int
    metrics: ReportedMetrics
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
        counts: Number of members in each state, in the order of `MemberState`.
        without_examples: Number of members that answered and had no examples.
        protocol: Decides for whom the exchange waits and when it closes.
        phase: Phase of the protocol.
        clock_ms: When its deadline began to run.
        enough_ms: When the needed answers were there.
        first: The site whose answer was accepted first.
        closed: Why it closed; None while it is open.
        aggregated: Whether its sum was recorded.
        roster: Signing keys of the sites that took part when it opened; None where it states none.
        inputs: What the sites receive beside the model.
        sums: Where each cell stands, in an exchange whose sums are masked.
        cells: Numbers of those.
        cell_by_site: The cell of each member, in an exchange whose sums are masked.
    """

    number: int
    round_number: int
    index: int
    task: str
    model: ModelRef | None
    needed: int
    members: SortedMap[str, Member]
    counts: tuple[int, ...]
    protocol: ExchangeProtocol
    phase: str
    clock_ms: int
    without_examples: int = 0
    enough_ms: int | None = None
    first: str | None = None
    closed: str | None = None
    aggregated: bool = False
    roster: Roster | None = None
    inputs: AskInputs = NOTHING_BESIDE
    sums: SortedMap[str, CellStanding] = field(default_factory=SortedMap)
    cells: CellCounts = NO_CELLS
    cell_by_site: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def opened(
        event: ExchangeOpened, protocol: ExchangeProtocol, quiet: Iterable[str], time_ms: int
    ) -> Exchange:
        """An exchange as it begins, still without its roster; sites in `quiet` are not waited for."""
        assigned, idle = Member(_A, time_ms), Member(_I, time_ms)
        members = SortedMap({site: idle if site in quiet else assigned for site in event.cohort})
        sums = {
            cell: CellStanding(cell, tuple(sorted(sites)), since_ms=time_ms)
            for cell, sites in event.members.items()
        }
        return Exchange(
            number=event.exchange,
            round_number=event.round_number,
            index=event.index,
            task=event.task,
            model=event.model,
            needed=event.needed,
            members=members,
            counts=count_states(members),
            protocol=protocol,
            phase=protocol.phases[0],
            clock_ms=time_ms,
            inputs=event.inputs,
            sums=SortedMap(sums),
            cells=CellCounts.of(sums.values()),
            cell_by_site={site: cell for cell, sites in event.members.items() for site in sites},
        )

    def count(self, states: Iterable[MemberState]) -> int:
        """Number of members in any of these states; does not visit the members."""
        return sum(self.counts[_PLACE[state]] for state in states)

    def sites(self, *states: MemberState) -> tuple[str, ...]:
        """Members in any of these states, in site order."""
        if not self.count(states):
            return ()
        return tuple(site for site, member in self.members.items() if member.state in states)

    @property
    def num_answered(self) -> int:
        """Number of sites whose results count."""
        return self.counts[_PLACE[_D]]

    @property
    def answered(self) -> tuple[str, ...]:
        """Sites whose results count."""
        return self.sites(_D)

    @property
    def failed(self) -> tuple[str, ...]:
        """Sites whose task failed, or that left."""
        return self.sites(_F)

    @property
    def awaited(self) -> tuple[str, ...]:
        """Sites that the exchange waits for, in site order."""
        if self.sums:
            found = (site for standing in self.sums.values() for site in standing.awaited)
            return tuple(sorted(site for site in found if self.members[site].state is not _I))
        return self.sites(*self.protocol.awaited_states(self.phase))

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Sites that could still answer, idle ones included."""
        return self.sites(*self.protocol.answerable_states(self.phase))

    @property
    def depends_on_idle(self) -> bool:
        """True where it cannot have enough answers without those of idle sites."""
        if self.sums:  # a whole cell needs each of them
            return self.count((_I,)) > 0
        awaited = self.count(self.protocol.awaited_states(self.phase))
        return self.num_answered + awaited < self.needed

    def may_answer(self, site: str) -> bool:
        """Whether an answer of this site would be taken, as long as the exchange is open."""
        member = self.members.get(site)
        if member is None or (self.sums and self.standing_of(site).over):
            return False
        return member.state in self.protocol.answerable_states(self.phase)

    def is_asked(self, site: str) -> bool:
        """Check if the task stays with this site, as long as the exchange is open.

        In a masked sum it does until the cell is over: a further attempt may need an answer once more.
        """
        if self.sums and site in self.cell_by_site:
            return not self.standing_of(site).over and self.members[site].state is not _F
        return self.may_answer(site)

    def standing_of(self, site: str) -> CellStanding:
        """Where the cell of a member stands, in an exchange whose sums are masked."""
        return self.sums[self.cell_by_site[site]]

    def with_cell(self, standing: CellStanding) -> Exchange:
        """With a cell in the place of what it was."""
        cells = self.cells.changed(self.sums.get(standing.cell), standing)
        changed = replace(self, sums=self.sums.set(standing.cell, standing), cells=cells)
        return replace(changed, phase=self.protocol.phase_of(changed))

    def deadline_ms(self, rules: Cohort) -> int:
        """When the exchange stops waiting, milliseconds since 1970."""
        return self.protocol.deadline_ms(self, rules)

    def due_ms(self, rules: Cohort) -> int:
        """The first moment at which the exchange, if it is open, can close by time alone."""
        return self.protocol.due_ms(self, rules)

    def outcome(self, rules: Cohort, now_ms: int) -> Outcome:
        """Decide whether the exchange, if it is open, closes."""
        return self.protocol.outcome(self, rules, now_ms)


def count_states(members: Mapping[str, Member]) -> tuple[int, ...]:
    """Number of members in each state, in the order of `MemberState`."""
    counts = [0] * len(_PLACE)
    for member in members.values():
        counts[_PLACE[member.state]] += 1
    return tuple(counts)


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
    if site in exchange.cell_by_site:
        exchange = exchange.with_cell(_after(exchange.standing_of(site), event, site, state, time_ms))
        if state in (_A, _S) and site in exchange.standing_of(site).ready:
            state = _R
    counts = list(exchange.counts)
    counts[_PLACE[member.state]] -= 1
    counts[_PLACE[state]] += 1
    answer, reason, first, enough = member.answer, member.reason, exchange.first, exchange.enough_ms
    without_examples = exchange.without_examples
    match event:
        case UpdateAccepted():
            answer = AcceptedResult(event.num_examples, event.metrics, event.update)
            # A masked answer states no number; all sites of a whole cell count.
            without_examples += event.num_examples == 0 and not exchange.sums
            first = site if first is None else first
            if enough is None and counts[_PLACE[_D]] >= exchange.needed:
                enough = time_ms
        case TaskFailed() | SiteLeft():
            reason = event.reason
        case SiteIdle():
            reason = f"no progress for {event.silent_s:.0f} s"
        case TaskStarted() | SiteReady() | RunStarted() | RunRecovered() | RunResumed():
            reason = ""
    gone = isinstance(event, SiteLeft)
    return replace(
        exchange,
        members=exchange.members.set(site, Member(state, time_ms, answer, reason, gone)),
        counts=tuple(counts),
        without_examples=without_examples,
        first=first,
        enough_ms=enough,
    )


def _after(
    standing: CellStanding, event: MemberEvent, site: str, state: MemberState, time_ms: int
) -> CellStanding:
    """Where a cell stands after an event, with the state that its member has then."""
    if (site in standing.failed) != (state is _F):
        standing = standing.with_failed(site, failed=state is _F)
    match event:
        case SiteReady():
            return standing.with_ready(site, event.statement, time_ms)
        case UpdateAccepted():
            return standing.with_masked(site, event.update or "", time_ms)
        case _:
            return standing


def asked_again(before: Exchange, event: ExchangeOpened, quiet: Iterable[str], time_ms: int) -> Exchange:
    """An exchange that the workflow asks once more in a round that begins again, under its number.

    What was answered stands, and no site that has answered is asked again. An exchange that had closed with
    answers is as it was; any other waits for the sites that are asked now.
    """
    if before.closed is not None and before.num_answered:
        return replace(before, index=event.index)
    fresh = Exchange.opened(event, before.protocol, quiet, time_ms)
    # Where the workflow chose the sites it finds all of them, also those that take part no more.
    stay = {site: m for site, m in before.members.items() if m.answer is not None or not event.needed}
    members = fresh.members.update(
        {site: m if m.answer is not None else Member(_A, time_ms) for site, m in stay.items()}
    )
    counts = count_states(members)
    enough = event.needed > 0 and counts[_PLACE[_D]] >= event.needed
    return replace(
        fresh,
        members=members,
        counts=counts,
        without_examples=before.without_examples,
        first=before.first,
        enough_ms=time_ms if enough else None,
    )


def restart(exchange: Exchange, event: Restart, time_ms: int) -> Exchange:
    """Give an open exchange its whole time again."""
    if exchange.closed is not None:
        return exchange
    for site in exchange.members:
        exchange = move(exchange, event, site, time_ms)
    grace_from = None if exchange.enough_ms is None else time_ms
    return replace(exchange, clock_ms=time_ms, enough_ms=grace_from)
