"""Rounds that are asked again, because their updates cannot be opened any more."""

from __future__ import annotations

from dataclasses import replace

from hanse.core.run.exchange import Exchange, Member, count_states
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.exchanges import Exchanges
from hanse.core.run.run import Run
from hanse.core.values.sorted_map import SortedMap


def answers_lost(run: Run, time_ms: int) -> Run:
    """The run at its last commit, with all of its sites to be asked again.

    A workflow that asks the same asks under the numbers of before, so that no site is asked in more
    exchanges.
    """
    asked = (unanswered(exchange, time_ms) for exchange in run.exchanges.values())
    return replace(
        run,
        exchanges=Exchanges(),
        earlier=tuple(unanswered(exchange, time_ms) for exchange in run.earlier) + tuple(asked),
        accepted=run.accepted_before,
        cohort=(),
        round_open=None,
        excused=frozenset(),
        without=(),
    )


def unanswered(exchange: Exchange, time_ms: int) -> Exchange:
    """An exchange without any answer, to be asked again under its number."""
    assigned = Member(MemberState.ASSIGNED, time_ms)
    members = SortedMap(dict.fromkeys(exchange.members, assigned))
    return replace(
        exchange,
        members=members,
        counts=count_states(members),
        phase=exchange.protocol.phases[0],
        without_examples=0,
        enough_ms=None,
        first=None,
        closed=None,
        aggregated=False,
    )
