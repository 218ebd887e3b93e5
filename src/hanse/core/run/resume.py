"""What stands of an open round when an operator takes the run up again, be it without some of its sites."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hanse.core.plan.cohort import Cohort, needed
from hanse.core.run.exchange import Exchange, count_states
from hanse.core.run.exchange_protocol import Masked
from hanse.core.values.roster import Roster
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
    return () if any(_too_few(exchange, now) for exchange in adapted) else adapted


def answered_by_none(exchange: Exchange) -> bool:
    """Whether an exchange is over, and has no answer."""
    return exchange.closed is not None and not exchange.num_answered


def same_keys(now: Roster, population: Collection[str], exchange: Exchange) -> bool:
    """Check if each site that an exchange may still ask takes part with the key that it was asked with.

    Args:
        now: Signing keys of the sites that take part.
        population: Those sites.
        exchange: The exchange.
    """
    then = exchange.roster or Roster()
    if then is now or exchange.closed is not None:
        return True
    return all(now.get(site) == then.get(site) for site in exchange.members if site in population)


def _in_vain(exchange: Exchange, population: Collection[str]) -> bool:
    lone = not exchange.num_answered and not any(site in population for site in exchange.members)
    return answered_by_none(exchange) or lone


def _of_those_there(exchange: Exchange, now: RoundOnResume) -> Exchange:
    if exchange.closed is not None or not exchange.needed:
        return exchange
    if exchange.sums:  # a member that is gone stays one: without it, its cell has no sum
        whole = _in_whole_cells(exchange, now.population)
        enough = exchange.needed if whole == exchange.cells.sites else needed(now.rules, whole + now.without)
        return replace(exchange, needed=enough)
    members = SortedMap(
        {s: m for s, m in exchange.members.items() if s in now.population or m.answer is not None}
    )
    if len(members) == len(exchange.members):
        return exchange
    enough = needed(now.rules, len(members) + now.without)
    came_ms = exchange.clock_ms if exchange.num_answered >= enough else None
    return replace(exchange, members=members, counts=count_states(members), needed=enough, enough_ms=came_ms)


def _too_few(exchange: Exchange, now: RoundOnResume) -> bool:
    if exchange.closed is not None:
        return False
    if exchange.sums:
        whole, protocol = _in_whole_cells(exchange, now.population), exchange.protocol
        all_of_them = isinstance(protocol, Masked) and protocol.incomplete == "fail"
        return whole < (exchange.cells.sites if all_of_them else max(exchange.needed, 1))
    return exchange.needed > 0 and len(exchange.members) < now.rules.minimum


def _in_whole_cells(exchange: Exchange, population: Collection[str]) -> int:
    """Members of the cells that are complete, or can be, as all of their members take part."""
    return sum(
        len(standing.members)
        for standing in exchange.sums.values()
        if (standing.complete and not standing.left_out) or all(s in population for s in standing.members)
    )
