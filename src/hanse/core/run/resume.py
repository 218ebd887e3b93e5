"""What stands of an open round when an operator takes the run up again, be it without some of its sites."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hanse.core.plan.cohort import Cohort, needed
from hanse.core.run.exchange import Exchange, count_states
from hanse.core.values.sorted_map import SortedMap


@dataclass(frozen=True, slots=True)
class RoundOnResume:
    """What a round is taken up with.

    Attributes:
        cohort: Who was to be asked in the round.
        population: Sites that take part now; looked up in, not gone over.
        without: Number of sites that the round goes without, and that count to its quorum.
        rules: Of the plan.
    """

    cohort: Collection[str]
    population: Collection[str]
    without: int
    rules: Cohort


def surviving_exchanges(asked: Sequence[Exchange], now: RoundOnResume) -> tuple[Exchange, ...]:
    """Say which exchanges of the open round stand, and whose answers they need now.

    What the workflow asked last, and nobody answered, it asks anew: it would only be told again that
    nobody did. Who takes part no more is not asked and not needed. Where too few are left for
    the plan's minimum, nothing stands.

    Args:
        asked: Exchanges of the round, in the order in which they were asked.
        now: What the round is taken up with.

    Returns:
        Those that stand, in order; none where the round has to begin anew.
    """
    here = sum(site in now.population for site in now.cohort)
    if here < min(max(now.rules.minimum, 1), len(now.cohort)):
        return ()
    standing = list(asked)
    while standing and _in_vain(standing[-1], now.population):
        standing.pop()
    adapted = tuple(_of_those_there(exchange, now) for exchange in standing)
    return () if any(_too_few(exchange, now.rules) for exchange in adapted) else adapted


def answered_by_none(exchange: Exchange) -> bool:
    """Whether an exchange is over, and has no answer."""
    return exchange.closed is not None and not exchange.num_answered


def _in_vain(exchange: Exchange, population: Collection[str]) -> bool:
    lone = not exchange.num_answered and not any(site in population for site in exchange.members)
    return answered_by_none(exchange) or lone


def _of_those_there(exchange: Exchange, now: RoundOnResume) -> Exchange:
    if exchange.closed is not None or not exchange.needed:
        return exchange
    members = SortedMap(
        {s: m for s, m in exchange.members.items() if s in now.population or m.answer is not None}
    )
    if len(members) == len(exchange.members):
        return exchange
    enough = needed(now.rules, len(members) + now.without)
    came_ms = exchange.clock_ms if exchange.num_answered >= enough else None
    return replace(exchange, members=members, counts=count_states(members), needed=enough, enough_ms=came_ms)


def _too_few(exchange: Exchange, rules: Cohort) -> bool:
    return exchange.closed is None and exchange.needed > 0 and len(exchange.members) < rules.minimum
