"""Streaks of failed rounds by site, and the suspensions that follow from them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace

from hanse.core.run.exchange import Exchange
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.site_events import SiteSuspended
from hanse.core.values.sorted_map import SortedMap
from hanse.core.values.wording import shortened


@dataclass(frozen=True, slots=True)
class FailureStreak:
    """Rounds in a row in which a site has failed.

    Attributes:
        rounds: How many.
        reason: What happened in the last of them.
    """

    rounds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Suspension:
    """A site that is suspended.

    Attributes:
        round_number: The last committed round when it was.
        since_ms: When, milliseconds since 1970.
        reason: Why.
    """

    round_number: int
    since_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Failures and suspensions of the sites of a run.

    Attributes:
        streaks: Rounds in a row in which sites have failed.
        suspensions: Sites that are not asked at present.
    """

    streaks: SortedMap[str, FailureStreak] = field(default_factory=SortedMap)
    suspensions: SortedMap[str, Suspension] = field(default_factory=SortedMap)

    def after(self, exchanges: Iterable[Exchange], population: Container[str]) -> FailureRecord:
        """The record once a round is over.

        A site that failed in any exchange of the round has one failed round more, a site that
        only answered has none any more. A site that was at work when the round closed without
        it, after the grace period, has done nothing wrong: its streak stays as it is.

        Args:
            exchanges: Those of the round, in the order in which they were asked.
            population: Sites that take part.
        """
        failed: dict[str, str] = {}
        answered: set[str] = set()
        for exchange in exchanges:
            if exchange.round_number == 0:  # one site after another is asked for the first model
                continue
            for site, member in exchange.members.items():
                if site not in population or site in self.suspensions:
                    continue
                if member.state is MemberState.ANSWERED:
                    answered.add(site)
                elif what := _failure(exchange, site):
                    failed[site] = f"round {exchange.round_number}, {exchange.task}: {what}"
        streaks = self.streaks
        for site in self.streaks:
            if site in answered:
                streaks = streaks.without(site)
        for site, what in sorted(failed.items()):
            before = self.streaks.get(site)
            streaks = streaks.set(site, FailureStreak(1 + (before.rounds if before else 0), what))
        return replace(self, streaks=streaks)

    def suspend(self, event: SiteSuspended, time_ms: int) -> FailureRecord:
        """The record with a site suspended."""
        suspension = Suspension(event.round_number, time_ms, event.reason)
        return replace(self.fresh(event.site), suspensions=self.suspensions.set(event.site, suspension))

    def fresh(self, site: str) -> FailureRecord:
        """The record without what it holds against a site."""
        return FailureRecord(self.streaks.without(site), self.suspensions.without(site))


def _failure(exchange: Exchange, site: str) -> str:
    """What a member did wrong, in words; empty for nothing."""
    member = exchange.members[site]
    if member.gone:
        return ""
    if member.state is MemberState.FAILED:
        return shortened(member.reason)
    if member.state is MemberState.IDLE:
        return member.reason or "no sign of it"
    could_answer = member.state in exchange.protocol.answerable_states(exchange.phase)
    late = could_answer and exchange.closed == "deadline"
    return "no answer by the deadline" if late else ""
