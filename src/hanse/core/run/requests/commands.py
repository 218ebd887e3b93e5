"""Commands of a workflow to its run, as the host passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hanse.core.values.ask_inputs import NOTHING_BESIDE, AskInputs
from hanse.core.values.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class OpenRound:
    """The workflow begins a round; opening the open round again changes nothing."""

    round_number: int


@dataclass(frozen=True, slots=True)
class OpenExchange:
    """The workflow asks a task of the round's cohort.

    Attributes:
        index: Place among the exchanges of the round, from 0. A restarted workflow that
            asks the same at the same place finds the exchange as it is.
        sites: Ask only these of the population; None for the round's cohort.
        inputs: What the sites receive beside the model, and the cells that are asked.
    """

    round_number: int
    index: int
    task: str
    model: ModelRef | None
    sites: tuple[str, ...] | None = None
    inputs: AskInputs = NOTHING_BESIDE


@dataclass(frozen=True, slots=True)
class OpenStream:
    """The workflow wants another update of a stream: every free site is asked.

    Attributes:
        taken: Exchanges whose updates the workflow has already been given since the last commit.
    """

    task: str
    model: ModelRef
    taken: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RecordAggregate:
    """The sum of an exchange's updates was given to the workflow."""

    exchange: int
    sites: tuple[str, ...]
    num_examples: int
    aggregate: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    """The workflow ends a round with its model; committing the same again changes nothing."""

    round_number: int
    model: ModelRef | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: str | None = None
    consumed: tuple[int, ...] = ()
    results: Mapping[str, str] = field(default_factory=dict)
