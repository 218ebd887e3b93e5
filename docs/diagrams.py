"""The run's state machine as diagrams, drawn from its tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from hanse.core.run.evolve import PHASE_TABLE
from hanse.core.run.exchange import MEMBER_TABLE
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.run import TERMINAL, Phase

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E")


def run_diagram() -> str:
    """Phases of a run, in Mermaid's language."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.SUBMITTED}: RunSubmitted"]
    lines += _arrows(PHASE_TABLE)
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in TERMINAL]
    return "\n".join(lines)


def member_diagram() -> str:
    """States of a site within an exchange, in Mermaid's language."""
    lines = ["stateDiagram-v2", f"    [*] --> {MemberState.ASSIGNED}: ExchangeOpened"]
    lines += _arrows(MEMBER_TABLE)
    return "\n".join(lines)


def _arrows(table: Mapping[type[E], Mapping[S, S]]) -> list[str]:
    """One arrow for each pair of states; events that leave the state as it is are not drawn."""
    labels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for event, moves in table.items():
        for before, after in moves.items():
            if before is not after:
                labels[before.value, after.value].append(event.__name__)
    return [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in labels.items()]
