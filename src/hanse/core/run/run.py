"""State of a run: a fold over its events, made by `hanse.core.run.evolve`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hanse.core.journal.chain import ChainHead
from hanse.core.plan.goals import Best, improves
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.run.attendance import Attendance
from hanse.core.run.exchange import Exchange
from hanse.core.run.exchanges import Exchanges
from hanse.core.run.failure_streaks import FailureRecord
from hanse.core.run.round_events import RoundCommitted
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.roster import Roster
from hanse.core.values.sorted_map import SortedMap, SortedSet
from hanse.core.values.wording import in_phase
from hanse.errors import RunError, TamperedError


class Phase(StrEnum):
    """Where a run stands."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


TERMINAL = frozenset({Phase.FINISHED, Phase.FAILED, Phase.STOPPED})
"""Phases in which nothing happens any more, unless an operator resumes the run."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan.

    A value: an event makes another one, at a cost that grows with the logarithm of the number of
    sites at most. What would take a look at all sites is kept besides, and changed with them.

    Attributes:
        ended_ms: When it ended, milliseconds since 1970; None where it has not.
        error: Code of the error that the run has failed with.
        reason: Why it was stopped, or has failed.
        invited: Sites that were asked for their answer to the plan.
        answers: Each site's latest answer to the plan.
        left: Sites that are gone, with the reason.
        taking_part: Sites that accepted the plan and have not left.
        roster: Signing key of each of those; without sites of `unsigned`, and empty in a simulation.
        unsigned: Those whose consent is of before 0.2 and names no signing key. Each is asked again.
        unheard: Invited sites whose answer to the plan is still awaited.
        absent: Sites that take no part now, while an open exchange may still wait for them.
        cohort: Who is asked in the open round; the same as long as it is open.
        round_population: Sites that took part when the open round began.
        excused: Those of the cohort that had left when the run was taken up again; they are not asked.
        round_open: The open round; None between rounds and in a stream.
        committed: Last committed round; -1 before the first model.
        model: The last committed model; None before the first, and in a run without a model.
        results: Digests of the results that commits gave, by name.
        exchanges: Exchanges that still matter, by number: those of the open
            round, and of a stream those not yet consumed.
        earlier: Exchanges since the last commit that did not stand when the run was resumed. A workflow
            that asks the same again asks under their numbers, so that no site is asked in more exchanges.
        last_exchange: Highest number given out.
        streamed: Exchanges of streams in which each site was asked, by task and site.
        rounds_asked: Committed rounds that were opened as such, and not made of a stream.
        accepted: Each site's last exchange whose result was accepted, to know a repetition by; of a masked
            sum once its cell is complete.
        summed: The last exchange whose sum was opened, by cell.
        quiet: Sites that were idle when last awaited and have not been heard of since. They are
            still asked, but a new exchange does not wait another idle limit for them.
        restarts: Restarts of the run's worker since the last commit.
        attendance: Who took part of late, and how much data each site has.
        failure_record: Who has failed in rounds in a row, and who is suspended for it.
        without: Sites suspended that the open round goes without.
        chosen: Whether an operator chose the invited sites, so that no others are asked.
        members: The last record of the membership when the run was submitted; None where that is not known.
        instance: The instance of the aggregator that runs it; None where the plan asks for no evidence.
        released: The instance of each site that has the keys of sealed files.
        admitted: Sites of which a person has permitted another instance, which has not come yet.
        refused_appraisals: Number of appraisals that were recorded and refused.
        accepted_before: `accepted` as it was at the last commit; kept of sealed runs.
        restored: The latest restore of the aggregator that the run's journal names, by its record in the
            membership; None for none.
    """

    run_id: str
    manifest: Manifest
    plan_digest: str
    submitted_by: str
    submitted_ms: int
    clock_ms: int
    phase: Phase = Phase.SUBMITTED
    ended_ms: int | None = None
    error: str = ""
    reason: str = ""
    started: bool = False
    invited: SortedSet[str] = field(default_factory=SortedSet)
    answers: SortedMap[str, bool] = field(default_factory=SortedMap)
    refusals: SortedMap[str, str] = field(default_factory=SortedMap)
    left: SortedMap[str, str] = field(default_factory=SortedMap)
    taking_part: SortedSet[str] = field(default_factory=SortedSet)
    roster: Roster = field(default_factory=Roster)
    unsigned: SortedSet[str] = field(default_factory=SortedSet)
    unheard: SortedSet[str] = field(default_factory=SortedSet)
    absent: frozenset[str] = frozenset()
    cohort: tuple[str, ...] = ()
    round_population: tuple[str, ...] = ()
    excused: Set[str] = frozenset()
    round_open: int | None = None
    committed: int = -1
    model: ModelRef | None = None
    state: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    best: Best | None = None
    stop_best: Best | None = None
    exchanges: Exchanges = field(default_factory=Exchanges)
    earlier: tuple[Exchange, ...] = ()
    last_exchange: int = 0
    streamed: SortedMap[tuple[str, str], int] = field(default_factory=SortedMap)
    rounds_asked: int = 0
    accepted: SortedMap[str, int] = field(default_factory=SortedMap)
    summed: SortedMap[str, int] = field(default_factory=SortedMap)
    quiet: SortedSet[str] = field(default_factory=SortedSet)
    refused_results: int = 0
    restarts: int = 0
    attendance: Attendance = field(default_factory=Attendance)
    failure_record: FailureRecord = field(default_factory=FailureRecord)
    without: tuple[str, ...] = ()
    chosen: bool = False
    members: ChainHead | None = None
    restored: ChainHead | None = None
    instance: str | None = None
    released: SortedMap[str, str] = field(default_factory=SortedMap)
    admitted: SortedSet[str] = field(default_factory=SortedSet)
    refused_appraisals: int = 0
    accepted_before: SortedMap[str, int] = field(default_factory=SortedMap)

    @property
    def short_name(self) -> str:
        """Its name in errors; a forged journal may name it by a megabyte."""
        return f"run {self.run_id[:100]}"

    @property
    def plan(self) -> Plan:
        """The plan that this run executes."""
        return self.manifest.plan

    @property
    def population(self) -> tuple[str, ...]:
        """Sites that accepted the plan and have not left, in site order."""
        return self.taking_part.in_order()

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Invited sites whose answer to the plan is still awaited, in site order."""
        return self.unheard.in_order()

    @property
    def stated_roster(self) -> str | None:
        """Digest of the roster, to be stated of what begins now; None where it does not have all sites."""
        return self.roster.digest if self.roster and not self.unsigned else None

    def in_round(self) -> tuple[Exchange, ...]:
        """Exchanges of the open round, in the order in which they were asked."""
        return self.exchanges.of_round(self.round_open)

    def stream(self) -> tuple[Exchange, ...]:
        """Exchanges of a stream that no commit has consumed, in order of their numbers."""
        return self.exchanges.of_stream()

    def open_exchanges(self) -> tuple[Exchange, ...]:
        """Exchanges that wait for answers."""
        return self.exchanges.waiting()

    @property
    def complete(self) -> bool:
        """Whether the plan asks for no further round: all are committed, or it is to stop early."""
        rule, best = self.plan.early_stop, self.stop_best
        stale = rule is not None and best is not None and self.committed - best.round_number >= rule.patience
        return self.committed >= self.plan.rounds or stale


def absence(run: Run, site: str) -> str | None:
    """Say why a site is asked nothing; None where it is asked."""
    suspension = run.failure_record.suspensions.get(site)
    if suspension is None and site in run.taking_part:
        return None
    if site in run.left:
        return run.left[site]
    if site in run.refusals:
        return f"refused the plan: {run.refusals[site]}"
    return "has yet to answer the plan" if suspension is None else f"suspended: {suspension.reason}"


def must_run(run: Run) -> None:
    """Refuse what only a running run can do.

    Raises:
        RunError: The run is in another phase.
    """
    if run.phase is not Phase.RUNNING:
        tail = f" ({run.reason})" if run.reason else ""
        raise RunError(f"run {run.run_id} {in_phase(run.phase)}{tail}")


def committed(run: Run, event: RoundCommitted) -> Run:
    """Run once a round is committed.

    Raises:
        TamperedError: The round is the best by the journal, and lacks its metric or its model.
    """
    # What a stream has not consumed yet continues; everything else of the round is over.
    consumed = sorted(n for n in {*event.consumed} if n in run.exchanges and run.exchanges[n].index < 0)
    over = [*run.in_round(), *(run.exchanges[number] for number in consumed)]
    best = run.best
    if event.best and run.plan.keep_best is not None:
        value = event.metrics.get(run.plan.keep_best.metric)
        if value is None:
            raise TamperedError(
                f"{run.short_name}: by the journal round {event.round_number} is the best, and it lacks the "
                f"metric {run.plan.keep_best.metric} to compare by"
            )
        if event.model is None:
            raise TamperedError(f"{run.short_name}: round {event.round_number} is the best, and has no model")
        best = Best(value, event.round_number, event.model)
    stop_best = run.stop_best
    rule = run.plan.early_stop
    if rule is not None and rule.metric in event.metrics:
        value = event.metrics[rule.metric]
        if improves(rule, value, stop_best, rule.min_delta):
            stop_best = Best(value, event.round_number, event.model)
    return replace(
        run,
        round_open=None,
        cohort=(),
        excused=frozenset(),
        committed=event.round_number,
        model=event.model,
        state=event.state,
        results={**run.results, **event.results} if event.results else run.results,
        metrics=event.metrics,
        best=best,
        stop_best=stop_best,
        exchanges=run.exchanges.consumed(consumed),
        earlier=(),
        accepted_before=run.accepted,
        rounds_asked=run.rounds_asked + (run.round_open == event.round_number and event.round_number > 0),
        restarts=0,
        failure_record=run.failure_record.after(over, run.taking_part),
        without=(),
    )
