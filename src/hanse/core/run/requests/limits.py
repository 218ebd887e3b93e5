"""Limits of what a workflow may ask: the disclosures of the plan, and how often a site is asked."""

from __future__ import annotations

from hanse.core.plan.disclosure import check_asked
from hanse.core.plan.exchange_limits import limit_line, most_in_round
from hanse.core.plan.tasks import INITIALISE
from hanse.core.run.run import Run
from hanse.core.values.wording import counted
from hanse.errors import DisclosureError, WorkflowError


def check_request(run: Run, task: str, round_number: int, *, individually: bool) -> None:
    """As `check_asked`, where no host has looked before."""
    try:
        check_asked(run.plan, task, round_number, individually=individually)
    except DisclosureError as error:
        raise WorkflowError(error.message, mend=error.mend) from error


def check_not_too_often(run: Run, task: str, cohort: tuple[str, ...]) -> None:
    """Refuse to ask a site for a task more often than the plan says.

    Raises:
        WorkflowError: It was asked as often before, in this round or, with streams, in the run.
    """
    most = most_in_round(run.plan, task)
    asked = [e for e in (*run.in_round(), *run.earlier) if e.index >= 0 and e.task == task]
    if len(asked) < most and not run.streamed:
        return
    for site in cohort:
        in_round = sum(site in exchange.members for exchange in asked)
        if in_round >= most:
            raise too_often(
                run, task, f"{site} for {task!r} in {most + 1} exchanges of round {run.round_open}"
            )
        if used_up(run, task, site, in_round):
            raise too_often(run, task, f"{site} once more for {task!r}, beside what it streamed")


def used_up(run: Run, task: str, site: str, in_round: int = 0) -> bool:
    """Check if a site was asked for a task in as many exchanges as rounds times the plan's limit.

    Each round that was opened as such counts as if the site had been asked in it as often as may be.
    """
    left = most_in_round(run.plan, task) * (run.plan.rounds - run.rounds_asked)
    return run.streamed.get((task, site), 0) + in_round >= left


def too_often(run: Run, task: str, asked: str) -> WorkflowError:
    """The error of a workflow that asks for a task more often than the plan says."""
    if task == INITIALISE:
        return WorkflowError(f"the workflow asked {asked}; a site is asked for a first model once")
    most, rounds = most_in_round(run.plan, task), run.plan.rounds
    return WorkflowError(
        f"the workflow asked {asked}; the plan permits {most} a round, and {most * rounds} in all of its "
        f"{counted(rounds, 'round')}",
        mend=f"Ask for the task less often, or add to the plan: {limit_line(task, most + 1)}",
    )
