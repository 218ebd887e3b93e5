"""Who took part in an exchange and with how much data: told at its close, and kept of it for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hanse.core.plan.cohort import Cohort
from hanse.core.plan.disclosure import MAX_EXAMPLES
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.round_events import Data, ExchangeClosed, ResultRefused
from hanse.core.values.sorted_map import SortedMap, SortedSet
from hanse.core.values.wording import shortened

Sites = tuple[str, ...]

MOST_KEPT = 50
"""Closed exchanges of which a run remembers who took part; a later answer counts to its round until then."""


@dataclass(frozen=True, slots=True)
class Participation:
    """Who took part in a closed exchange.

    Attributes:
        cause: Why it closed.
        asked: Its cohort.
        failed: Those whose task failed, or that left, with the reason.
        idle: Those that had fallen silent.
        unanswered: Those that had neither answered nor failed nor fallen silent.
        suspended: Sites that were not asked because they are suspended.
        late: Those whose answer came after the close, with the examples that it stated.
        data: What the answers stand for; None of masked sums, and in the journals of earlier versions.
        may_follow: Those whose answer would be late, and has not come yet.
        masked: Whether its sums are masked, so that no site states its number of examples.
        left_out: Why cells are not in the sum, by cell.
        lost_with_cell: Sites that are not in the sum for lack of others of their cell alone, with these.
        not_asked: Why cells were not asked, by cell.
    """

    exchange: int
    round_number: int
    index: int
    task: str
    cause: str
    asked: Sites
    answered: Sites
    failed: Mapping[str, str]
    idle: Sites
    unanswered: Sites
    suspended: Sites
    data: Data | None
    late: SortedMap[str, int] = field(default_factory=SortedMap)
    may_follow: SortedSet[str] = field(default_factory=SortedSet)
    masked: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    lost_with_cell: Mapping[str, str] = field(default_factory=dict)
    not_asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> Sites:
        """Sites that the exchange went without, in site order."""
        silent = {*self.idle, *self.unanswered}
        return tuple(sorted({*self.failed, *silent, *self.suspended, *self.lost_with_cell}))

    @property
    def too_little(self) -> bool:
        """Whether more data is missing than the plan tolerates."""
        return self.data is not None and self.data.too_little


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who took part in a run of late, and how much data each site has.

    Attributes:
        closed: The last closed exchanges, by number.
        known: Examples that each site stated when it last answered, by task and site.
        short_rounds: Rounds in which more data was missing than the plan tolerates.
    """

    closed: Mapping[int, Participation] = field(default_factory=dict)
    known: Mapping[str, SortedMap[str, int]] = field(default_factory=dict)
    short_rounds: int = 0

    def close(self, exchange: Exchange, cause: str, suspended: Sites, rules: Cohort) -> ExchangeClosed:
        """What is told of an exchange at its close.

        Args:
            exchange: As it stands.
            cause: Why it closes.
            suspended: Sites that its round goes without.
            rules: The plan's.
        """
        # An exchange whose sites the workflow chose goes without nobody else.
        without = suspended if exchange.needed and exchange.index >= 0 else ()
        return ExchangeClosed.model_validate(
            {
                "exchange": exchange.number,
                "cause": cause,
                "answered": exchange.answered,
                "failed": exchange.failed,
                "missing": exchange.unanswered,
                "idle": exchange.sites(MemberState.IDLE),
                "suspended": without,
                # In a masked sum no number of examples is known; whole cells are in it, or not at all.
                "data": None if exchange.sums else self._data(exchange, without, rules),
            }
        )

    def _data(self, exchange: Exchange, without: Sites, rules: Cohort) -> Data:
        return _data(exchange, self.known.get(exchange.task, SortedMap()), without, rules)

    def closed_with(
        self, exchange: Exchange, event: ExchangeClosed, not_asked: Mapping[str, str]
    ) -> Attendance:
        """With an exchange that has closed, and the cells that it did not ask, each with why."""
        found = replace(_took_part(exchange, event), not_asked=not_asked)
        answers = {
            site: m.answer.num_examples
            for site, m in exchange.members.items()
            if m.answer is not None and not exchange.sums
        }
        others = [other for other in self.closed.values() if other.round_number == found.round_number]
        first = found.too_little and not any(other.too_little for other in others)
        last = sorted({*self.closed, found.exchange})[-MOST_KEPT:]
        return Attendance(
            # One that closed before, and was asked again, is known by its last close.
            closed={number: found if number == found.exchange else self.closed[number] for number in last},
            known=self._stated(exchange.task, answers),
            short_rounds=self.short_rounds + first,
        )

    def awaits(self, number: int, site: str) -> bool:
        """Whether an answer of this site would be its first to an exchange that has closed without it."""
        found = self.closed.get(number)
        return found is not None and site in found.may_follow

    def refused(self, event: ResultRefused) -> Attendance:
        """With a result that was not taken: one that was only late counts to its exchange."""
        number, site, examples = event.exchange, event.site, event.num_examples
        if examples is None or not 0 <= examples <= MAX_EXAMPLES or not self.awaits(number, site):
            return self
        found = self.closed[number]
        noted = replace(found, late=found.late.set(site, examples), may_follow=found.may_follow.without(site))
        known = self._stated(found.task, {site: examples})
        return replace(self, closed={**self.closed, number: noted}, known=known)

    def forget(self, site: str) -> Attendance:
        """With nothing known of a site's data."""
        return replace(self, known={task: stated.without(site) for task, stated in self.known.items()})

    def _stated(self, task: str, examples: Mapping[str, int]) -> Mapping[str, SortedMap[str, int]]:
        before = self.known.get(task, SortedMap())
        new = {site: number for site, number in examples.items() if before.get(site) != number}
        return {**self.known, task: before.update(new)} if new else self.known


def _took_part(exchange: Exchange, event: ExchangeClosed) -> Participation:
    idle, unanswered = exchange.sites(MemberState.IDLE), exchange.unanswered
    reasons = {site: shortened(exchange.members[site].reason) for site in exchange.failed}
    lost = {site for site in reasons if exchange.sums and site not in exchange.standing_of(site).failed}
    return Participation(
        exchange=exchange.number,
        round_number=exchange.round_number,
        index=exchange.index,
        task=exchange.task,
        cause=event.cause,
        asked=tuple(exchange.members),
        answered=exchange.answered,
        failed={site: reason for site, reason in reasons.items() if site not in lost},
        idle=idle,
        unanswered=tuple(s for s in unanswered if exchange.members[s].state is not MemberState.IDLE),
        suspended=event.suspended,
        data=event.data,
        may_follow=SortedSet(() if exchange.sums else unanswered),  # a masked vector says nothing by itself
        masked=bool(exchange.sums),
        left_out={cell: shortened(s.left_out) for cell, s in exchange.sums.items() if s.left_out},
        lost_with_cell={site: reasons[site] for site in sorted(lost)},
    )


def _data(exchange: Exchange, stated: Mapping[str, int], suspended: Sites, rules: Cohort) -> Data:
    answers = (member.answer for member in exchange.members.values())
    absent = {*exchange.failed, *exchange.unanswered, *suspended}
    tolerated = 1 - rules.quorum if rules.tolerated_missing is None else rules.tolerated_missing
    judged = exchange.index >= 0 and exchange.task != INITIALISE
    return Data(
        answered=sum(answer.num_examples for answer in answers if answer is not None),
        missing=sum(stated.get(site, 0) for site in absent),
        unknown=tuple(sorted(absent - stated.keys())),
        tolerated=round(tolerated, 9) if judged else None,
    )
