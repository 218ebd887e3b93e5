"""In how many rounds in a row each site has failed, and which sites are set aside for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hanse.core.run.exchange import UNANSWERED, Exchange, MemberState
from hanse.core.run.site_events import SiteSetAside
from hanse.core.values.wording import shortened


@dataclass(frozen=True, slots=True)
class Strikes:
    """Rounds in a row in which a site has failed.

    Attributes:
        rounds: How many.
        reason: What happened in the last of them.
    """

    rounds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Aside:
    """A site that is set aside.

    Attributes:
        round_number: The last committed round when it was.
        since_ms: When, milliseconds since 1970.
        reason: Why.
    """

    round_number: int
    since_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Conduct:
    """What there is against the sites of a run.

    Attributes:
        strikes: Rounds in a row in which sites have failed.
        aside: Sites that are not asked at present.
    """

    strikes: Mapping[str, Strikes] = field(default_factory=dict)
    aside: Mapping[str, Aside] = field(default_factory=dict)

    def after(self, exchanges: Iterable[Exchange], population: Collection[str]) -> Conduct:
        """Once a round is over.

        A site that failed in any exchange of the round has one strike more, one that only
        answered has none any more. A site that was at work when the round went on without it,
        after the grace period, has done nothing wrong: its strikes stay as they are.

        Args:
            exchanges: Those of the round, in the order in which they were asked.
            population: Sites that take part.
        """
        judged = {*population} - self.aside.keys()
        failed: dict[str, str] = {}
        answered: set[str] = set()
        for exchange in exchanges:
            if exchange.round_number == 0:  # one site after another is asked for the first model
                continue
            for site in exchange.members.keys() & judged:
                if exchange.members[site].state is MemberState.ANSWERED:
                    answered.add(site)
                elif what := _failure(exchange, site):
                    failed[site] = f"round {exchange.round_number}, {exchange.task}: {what}"
        strikes = {site: before for site, before in self.strikes.items() if site not in answered}
        for site in sorted(failed):
            before = self.strikes.get(site)
            strikes[site] = Strikes(1 + (before.rounds if before else 0), failed[site])
        return replace(self, strikes=strikes)

    def set_aside(self, event: SiteSetAside, time_ms: int) -> Conduct:
        """With a site set aside."""
        aside = Aside(event.round_number, time_ms, event.reason)
        return replace(self.fresh(event.site), aside={**self.aside, event.site: aside})

    def fresh(self, site: str) -> Conduct:
        """With nothing against a site."""
        return Conduct(
            strikes={other: strikes for other, strikes in self.strikes.items() if other != site},
            aside={other: aside for other, aside in self.aside.items() if other != site},
        )


def _failure(exchange: Exchange, site: str) -> str:
    """What a member did wrong, in words; empty for nothing."""
    member = exchange.members[site]
    if member.gone:
        return ""
    if member.state is MemberState.FAILED:
        return shortened(member.reason)
    if member.state is MemberState.IDLE:
        return member.reason or "no sign of it"
    late = member.state in UNANSWERED and exchange.closed == "deadline"
    return "no answer by the deadline" if late else ""
