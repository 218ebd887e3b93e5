"""Decisions about the beginning and the end of a round."""

from __future__ import annotations

from hanse.core.plan.goals import improves
from hanse.core.plan.privacy.cells import masks
from hanse.core.plan.privacy.cohort import askable, select_cohort
from hanse.core.run.events import Events
from hanse.core.run.evolve import evolve
from hanse.core.run.requests.commands import Commit, OpenRound
from hanse.core.run.round_events import RoundCommitted, RoundOpened
from hanse.core.run.run import Run, must_run
from hanse.core.run.run_events import RunFailed
from hanse.core.run.suspension import reinstatements, suspend_failing
from hanse.errors import QuorumError, WorkflowError


def open_round(run: Run, command: OpenRound, now_ms: int) -> Events:
    """Begin a round with a cohort; opening the open one again changes nothing."""
    must_run(run)
    round_number = command.round_number
    if run.round_open == round_number:
        return ()
    if run.round_open is not None or round_number != run.committed + 1:
        raise WorkflowError(
            f"the workflow opened round {round_number}; the next round is {run.committed + 1}",
            mend="Commit each round before the next one begins.",
        )
    population, plan = run.population, run.plan
    if round_number == 0:  # the first model: any one site is asked
        return (RoundOpened(round_number=0, cohort=population, population=population),)
    there = askable(plan, population)
    if there < plan.cohort.minimum:
        part = "take part" if plan.privacy.secure_aggregation is None else "take part in whole cells"
        why = f"round {round_number}: the plan needs {plan.cohort.minimum} sites, {there} {part}"
        gone = "".join(f"; {site} left: {text}" for site, text in sorted(run.left.items()))
        return (RunFailed(error=QuorumError.code, reason=why + gone),)
    back = reinstatements(run, round_number, now_ms)
    for event in back:
        run = evolve(run, event, now_ms)
    cohort, without = select_cohort(plan, round_number, population, run.failure_record.suspensions)
    opened = RoundOpened(round_number=round_number, cohort=cohort, population=population, suspended=without)
    return (*back, opened)


def _undefined(run: Run, metric: str) -> bool:
    """Say whether sites of the open round reported a metric as not defined, and none gave it.

    Of a masked sum it is not known which sites gave it: a metric that may be missing counts as such.
    """
    section = run.plan.privacy.secure_aggregation
    if section is not None and (declared := section.metrics.get(metric)) is not None and declared.optional:
        return any(masks(run.plan, exchange.task) for exchange in run.in_round())
    answers = [member.answer for exchange in run.in_round() for member in exchange.members.values()]
    values = [answer.metrics[metric] for answer in answers if answer and metric in answer.metrics]
    return bool(values) and all(value is None for value in values)


def commit(run: Run, command: Commit, now_ms: int) -> Events:
    """Make a round's model the run's; committing it again changes nothing."""
    must_run(run)
    if command.round_number == run.committed and command.model == run.model:
        return ()
    if command.round_number != run.committed + 1:
        raise WorkflowError(
            f"the workflow committed round {command.round_number}; the next to commit is {run.committed + 1}"
        )
    without = run.plan.first_model == "none"
    if (command.model is None) != without:
        what = "a model, and by the plan the run has none" if without else "no model"
        raise WorkflowError(f"the workflow committed round {command.round_number} with {what}")
    best, goal = False, run.plan.keep_best
    for wanted in (goal, run.plan.early_stop):
        if wanted is None or command.round_number < 1 or wanted.metric in command.metrics:
            continue
        # Where no site of the round could say, the round is not compared, and the run continues.
        if not _undefined(run, wanted.metric):
            known = ", ".join(sorted(command.metrics)) or "none"
            raise WorkflowError(
                f"round {command.round_number} was committed without the metric {wanted.metric!r} that the "
                f"plan's keep_best or early_stop needs; committed: {known}"
            )
    if goal is not None and command.round_number > 0 and goal.metric in command.metrics:
        best = improves(goal, command.metrics[goal.metric], run.best)
    committed = RoundCommitted(
        round_number=command.round_number,
        model=command.model,
        metrics=dict(command.metrics),
        state=command.state,
        best=best,
        consumed=command.consumed,
        results=dict(command.results),
    )
    return (committed, *suspend_failing(run, committed, now_ms))
