"""Who answers a workflow: the promises that deployment and simulation both keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hanse.core.plan.plan import Plan
from hanse.core.values.groups import Groups
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Aggregate, Update


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a run stands: what its last commit left.

    Attributes:
        committed: Last committed round; -1 before the first model.
        model: The committed parameters, read-only; None before the first.
        state: The workflow's own committed arrays and groups.
        results: The run's results, by name.
        complete: Whether the plan asks for no further round.
        population: Sites that take part, in site order.
    """

    committed: int
    model: Parameters | None
    state: Groups
    complete: bool
    population: tuple[str, ...]
    results: Groups = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A task asked of sites.

    Attributes:
        index: Place among the requests of its round, from 0; a workflow that is run
            again from the last commit asks the same at the same place.
        model: Parameters to start from; None for the first model of a run. They may be computed
            where they are read (`hanse.core.values.lazy.LazyTensor`).
        sites: Ask only these; None for the round's cohort, or `cells`.
        groups: The groups that the task receives, by name.
        settings: Settings of the task, of those that vary by the plan.
        cells: Ask only these; None for the whole cohort.
    """

    round_number: int
    index: int
    task: str
    model: Parameters | None
    sites: tuple[str, ...] | None = None
    groups: Groups = field(default_factory=dict)
    settings: Mapping[str, int | float] = field(default_factory=dict)
    cells: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CommitRequest:
    """A round's model, metrics, state and results, to become the run's together.

    Attributes:
        model: None in a run without a model.
        results: Those to keep beside the earlier ones, or in their place.
    """

    round_number: int
    model: Parameters | None
    metrics: Mapping[str, float]
    state: Groups
    consumed: tuple[int, ...] = ()
    results: Groups = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenedRound:
    """A round that has begun.

    Attributes:
        cohort: Sites that are asked, in site order.
        population: Sites that took part when it began, in site order.
    """

    cohort: tuple[str, ...]
    population: tuple[str, ...]


class Host(Protocol):
    """Runs a workflow's requests; every method waits until it is done.

    Methods raise the `HanseError` that ended the run.
    """

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        ...

    def standing(self) -> Standing:
        """Where the run stands now."""
        ...

    def initial_model(self) -> Parameters | None:
        """The plan's `initial_model`, where it has one."""
        ...

    def open_round(self, round_number: int) -> OpenedRound:
        """Begin a round, or find it open."""
        ...

    def ask(self, request: Request) -> tuple[Update, ...]:
        """Ask a task and wait until the exchange closes; the answers, in site order.

        Begins the round, where it is not open.
        """
        ...

    def sum(self, request: Request) -> Aggregate:
        """Ask a task and wait for the aggregate of the answers; begins the round, where it is not open."""
        ...

    def next_update(self, task: str, taken: frozenset[int]) -> tuple[int, Update]:
        """Wait for the next update of a stream, with the number of its exchange.

        Args:
            task: The task that free sites are asked.
            taken: Exchanges whose updates were taken since the last commit.
        """
        ...

    def commit(self, request: CommitRequest) -> Standing:
        """Make a round's outcome durable; the standing after it."""
        ...
